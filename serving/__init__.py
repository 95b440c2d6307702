"""The inference server: one model from one directory, answering POST /chat and OpenAI's API.

``chat`` and ``completions`` are the requests, with ``schema`` and ``tools`` for what an answer is held to and calls;
``pipeline`` turns them into tokens, by ``tokenizer``, and tokens into answers, by ``text`` as they come; ``engine`` is
what continues tokens, ``backends`` those there are, ``startup`` loads one while the port is already open, ``app`` is
the HTTP face with ``openai`` and ``ui.html``, which ``openapi`` describes, ``metrics`` what it says of itself,
``tracing`` what it tells of its start and of requests, which ``spans`` makes OpenTelemetry's where that is on,
``__main__`` the process, ``export`` writes a model for OpenVINO. It knows no Kubernetes: its container gets a directory
of weights, a few flags and $PORT.
"""
