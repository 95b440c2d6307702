"""The tuning function on Azure Functions: its host looks for ``app`` here."""

from functions.tuning.app import function
from kaito.runtime.functionapp import function_app

app = function_app(function)
