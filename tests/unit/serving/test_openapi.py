"""The OpenAPI document is true: what it allows is answered as it says, and nothing breaks the server."""

from __future__ import annotations

from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from serving.app import create_app
from tests.unit.serving.test_openai import Speaker

load_all_checks()


class Talker(Speaker):
    """Answers /chat too."""

    def answer(self, *_: object) -> str:  # type: ignore[override]
        return "Hello"


schema = schemathesis.openapi.from_wsgi("/openapi.json", create_app(lambda _: Talker("Hello$"), ["phi"]))
CHECKS = [
    schemathesis.checks.not_a_server_error,
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
]


@schema.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_is_sent_is_answered_as_the_document_says(case: schemathesis.Case[Any]) -> None:
    case.call_and_validate(checks=CHECKS)
