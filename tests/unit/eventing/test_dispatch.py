"""A Trigger's workers outlive whatever an event does to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from eventing import delivery
from eventing.delivery import Attempt, Delivery, Policy
from eventing.dispatch import Dispatcher, NoObserver, Route
from eventing.message import Message
from kaito.runtime.events import Event
from tests.receiver import Receiver

BAD, GOOD = "bad", "good"


def message(id_: str, **attributes: str) -> Message:
    envelope = {"id": id_, "source": "/s", "type": "t", "specversion": "1.0", "knativebrokerttl": "1"}
    return Message(Event({**envelope, **attributes}), {})


class Blind(NoObserver):
    """Fails at the deliveries of one event, which an observer must not."""

    def on_delivery(self, trigger: str, event: Event, attempt: Attempt) -> None:
        if event.id == BAD:
            raise RuntimeError("boom")


@pytest.mark.parametrize(
    ("bad", "observer"),
    [
        (message(BAD, datacontenttype="text/plaïn"), NoObserver()),
        (message(BAD, subject="\ud800"), NoObserver()),
        (message(BAD), Blind()),
    ],
)
def test_an_event_that_cannot_be_sent_does_not_stop_the_next(bad: Message, observer: NoObserver) -> None:
    with Receiver() as receiver:

        def resolve(destination: Mapping[str, Any], namespace: str) -> str:
            return receiver.url

        route = Route("ns", "t", ("ns", "default"), lambda _: True, {}, Delivery(Policy()))
        client = delivery.client()
        dispatcher = Dispatcher(route, client, resolve, lambda *_: None, observer, workers=1)
        dispatcher.put(bad)
        dispatcher.put(message(GOOD))
        assert dispatcher.drain(5)
        received = receiver.received
        dispatcher.stop()
        client.close()
    assert received[-1].headers["ce-id"] == GOOD
