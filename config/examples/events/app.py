"""Says "NAME is ready at URL" to a webhook, whenever a Workspace has become ready."""

import os

import requests
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from flask import Flask, request

app = Flask(__name__)


@app.post("/")
def take() -> tuple[str, int]:
    event = from_http_event(HTTPMessage(dict(request.headers), request.get_data()))
    workspace = event.get_data()
    answer = requests.post(
        os.environ["WEBHOOK_URL"],
        json={"text": f"{workspace['name']} is ready at {workspace['url']}"},
        headers={"Idempotency-Key": event.get_id()},  # an event that comes twice has the same id
        timeout=10,
    )
    answer.raise_for_status()  # answered 500, so that the Broker sends the event again
    return "", 202  # with a body, the Broker would take the answer for another event
