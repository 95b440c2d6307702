"""The chat page, in a headless Chromium, on the real server with the real model."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import browser as browser  # the fixture
from tests.browser import opened
from tests.integration.serving.process import Server, serving
from tests.questions import QUESTION


@pytest.fixture(scope="module")
def server(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(weights, tmp_path_factory.mktemp("ui") / "log", "--name=smollm2") as running:
        yield running


@pytest.fixture
def page(server: Server, browser: Browser) -> Iterator[Page]:
    with opened(browser, f"{server.url}/ui", expected="400") as page:
        yield page


def send(page: Page, text: str) -> None:
    page.get_by_label("Your message").fill(text)
    page.get_by_label("Your message").press("Enter")


def test_a_question_is_answered_and_the_talk_goes_on(page: Page) -> None:
    expect(page.locator("#model")).to_have_text("smollm2")
    send(page, QUESTION)
    expect(page.locator(".assistant")).to_contain_text("Paris")
    expect(page.locator("#figures")).to_have_text(re.compile(r"\d+ tokens in [\d.]+ s, the first after [\d.]+ s"))
    send(page, "And of Italy?")
    expect(page.locator(".user")).to_have_count(2)
    expect(page.locator(".assistant").nth(1)).to_contain_text("Rome")
    page.get_by_role("button", name="New chat").click()
    expect(page.locator(".turn")).to_have_count(0)


def test_an_answer_grows_and_can_be_stopped(page: Page) -> None:
    send(page, "Tell me a very long story about a dragon.")
    answer = page.locator(".assistant")
    expect(answer).not_to_be_empty()
    begun = answer.inner_text()
    expect(answer).not_to_have_text(begun)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    stopped = answer.inner_text()
    assert stopped.startswith(begun)
    send(page, QUESTION)
    expect(page.locator(".assistant").nth(1)).to_contain_text("Paris")
    assert page.locator(".assistant").first.inner_text() == stopped


def test_what_the_server_says_is_wrong_is_shown_and_the_question_may_be_sent_again(page: Page) -> None:
    send(page, "word " * 9000)
    expect(page.locator(".failed")).to_contain_text("the model holds 8192")
    expect(page.locator(".assistant")).to_have_count(0)
    send(page, QUESTION)
    expect(page.locator(".assistant")).to_contain_text("Paris")


def test_what_is_said_is_text_and_no_page(page: Page) -> None:
    send(page, "<img src=x onerror=alert(1)> <b>What is this?</b>")
    expect(page.locator(".user")).to_have_text("<img src=x onerror=alert(1)> <b>What is this?</b>")
    expect(page.locator("#talk img")).to_have_count(0)
