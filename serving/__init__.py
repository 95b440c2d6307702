"""The inference server: one model from one directory, answering POST /chat and OpenAI's API.

``chat`` and ``openai`` are the requests, ``pipeline`` turns them into tokens and tokens into answers, ``text`` as they
come; ``engine`` is what continues tokens, ``backends`` those there are, ``startup`` loads one while the port is already
open, ``app`` is the HTTP face, ``metrics`` what it says of itself, ``__main__`` the process, ``export`` writes a model
for OpenVINO. It knows no Kubernetes: its container gets a directory of weights, a few flags and $PORT.
"""
