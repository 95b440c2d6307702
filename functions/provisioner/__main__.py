"""``python -m functions.provisioner`` serves the function on $PORT."""

from functions.provisioner.app import function
from kaito.runtime.server import serve

if __name__ == "__main__":
    serve(function())
