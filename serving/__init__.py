"""The inference server: one model from one directory, answering POST /chat.

``chat`` is the request, ``pipeline`` turns it into tokens and tokens into the answer, ``engine``
continues tokens with the model, ``startup`` loads it while the port is already open, ``app`` is the HTTP
face, ``__main__`` the process. It knows no Kubernetes: its container gets a directory of weights, a few
flags and $PORT.
"""
