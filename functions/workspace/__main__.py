"""``python -m functions.workspace`` serves the function on $PORT."""

from functions.workspace.app import function
from kaito.runtime.server import serve

if __name__ == "__main__":
    serve(function())
