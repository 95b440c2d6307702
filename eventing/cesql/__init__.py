"""CESQL, the CloudEvents SQL expression language 1.0, as Knative reads it: an expression becomes a function."""

from eventing.cesql.parser import ParseError, parse
from eventing.cesql.values import Attributes, EvaluationError, Expression, Value

__all__ = ["Attributes", "EvaluationError", "Expression", "ParseError", "Value", "parse"]
