"""``python -m functions.tuning`` serves the function on $PORT."""

from functions.tuning.app import function
from kaito.runtime.server import serve

if __name__ == "__main__":
    serve(function())
