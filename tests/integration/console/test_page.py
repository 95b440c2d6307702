"""The page, in a headless Chromium."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from console.app import create_app
from console.chat import Chats
from console.console import Console
from eventing.recordings.sources import Files
from kaito.runtime.kube import WatchEvent
from tests.browser import browser as browser  # the fixture
from tests.browser import opened
from tests.serving import serving
from tests.unit.console.world import Model, Watching, cluster, workspace
from tests.unit.eventing.recorder import told
from tests.unit.eventing.recorder.told import NOW
from tests.unit.eventing.recordings import scenes

HOSTILE = "<img src=x onerror=document.title='owned'>"


@contextmanager
def page_of(browser: Browser, console: Console, where: str = "", expected: str = "") -> Iterator[Page]:
    console.start()
    try:
        with (
            serving(create_app(console, Chats(inside=False))) as url,
            opened(browser, f"{url}/{where}", expected) as page,
        ):
            yield page
    finally:
        console.stop()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes.history().write(tmp_path_factory.mktemp("recording") / "a.ndjson")


def test_a_recording_is_stepped_through(browser: Browser, recording: Path) -> None:
    with page_of(browser, Console([Files([recording])]), "#default/phi") as page:
        rows, head = page.locator(".row"), page.locator("#head")
        expect(head).to_contain_text("default/phi")
        expect(page.locator("#source")).to_have_text("a recording")
        expect(page.locator("#chat")).to_be_hidden()
        expect(rows).to_have_count(9)
        expect(page.locator("#place")).to_have_text("9 lines")
        for _ in range(9):
            page.keyboard.press("ArrowLeft")
            expect(page.locator(".row[aria-selected=true]")).to_have_count(1)
        expect(page.locator("#place")).to_have_text("1 of 9")
        expect(page.locator("#story")).to_contain_text("decided: apply Machine")
        expect(page.locator("#story .added").first).to_be_visible()
        expect(head).to_contain_text("as it was at")
        expect(page.locator("#conditions tr")).to_have_count(0)
        page.keyboard.press("ArrowRight")
        expect(page.locator("#place")).to_have_text("2 of 9")
        page.get_by_label("Step through").fill("4")
        expect(page.locator("#place")).to_have_text("5 of 9")
        page.go_back()
        expect(page.locator("#place")).to_have_text("9 lines")
        for _ in range(3):
            page.keyboard.press("ArrowLeft")
        expect(page.locator("#place")).to_have_text("7 of 9")
        page.keyboard.press("Escape")
        expect(page.locator("#story")).to_be_hidden()
        expect(head).not_to_contain_text("as it was at")
        expect(page.locator("#conditions tr")).to_have_count(5)


def test_a_line_has_an_address(browser: Browser, recording: Path) -> None:
    console = Console([Files([recording])])
    console.look()
    row = console.history.page("default/phi", 3, 1, decided=True)[0]
    with page_of(browser, console, f"#default/phi@{row.name}") as page:
        expect(page.locator("#place")).to_have_text("4 of 9")
        expect(page.locator("#story")).to_contain_text(row.name)
        page.get_by_role("button", name=re.compile("All events")).click()
        expect(page.locator("#workspace")).to_be_hidden()
        expect(page.locator("#story")).to_be_hidden()


def test_what_happens_is_seen_while_it_does(browser: Browser, tmp_path: Path) -> None:
    file, watch, model = tmp_path / "a.ndjson", Watching(), Model()
    file.write_bytes(told.delivery("d1"))
    console = Console([Files([file])], cluster(workspace(), watch=watch))
    with serving(model.app) as url, page_of(browser, console) as page:
        expect(page.locator("#source")).to_have_text("live")
        expect(page.locator(".stage").last).to_have_class(re.compile("now"))
        expect(page.locator("#chat")).to_be_hidden()
        watch.said.put(WatchEvent("MODIFIED", workspace(url=url, version="2")))
        expect(page.locator(".stage").last).to_have_text("ready")
        with file.open("ab") as more:
            more.write(told.decision("c", because=("timer",)))
        expect(page.locator(".row")).to_have_count(1)
        page.get_by_label("Your message").fill("What is the capital of France?")
        page.get_by_label("Your message").press("Enter")
        expect(page.locator(".assistant")).to_have_text("Paris it is")
        expect(page.locator("#figures")).to_have_text(re.compile(r"2 tokens in [\d.]+ s, the first after [\d.]+ s"))
        watch.said.put(WatchEvent("ADDED", workspace("falcon", version="3")))
        expect(page.locator("nav [data-key]")).to_have_count(2)
        page.get_by_label("Filter Workspaces").fill("FALC")
        expect(page.locator("nav [data-key]")).to_have_count(1)
        watch.said.put(WatchEvent("DELETED", workspace("falcon", version="4")))
        expect(page.locator("nav .gone")).to_have_count(1)


def test_what_the_model_says_is_wrong_is_shown_and_the_question_may_be_sent_again(browser: Browser) -> None:
    model = Model()
    with serving(model.app) as url, page_of(browser, Console([], cluster(workspace(url=url))), expected="400") as page:
        model.refusal = f"the model holds 8192 tokens {HOSTILE}"
        message = page.get_by_label("Your message")
        message.fill(HOSTILE)
        message.press("Enter")
        expect(page.locator("#talk .failed")).to_have_text(model.refusal)
        expect(page.locator("#talk .user")).to_have_text(HOSTILE)
        model.refusal = ""
        message.fill("?")
        message.press("Enter")
        expect(page.locator(".assistant")).to_have_text("Paris it is")
        assert [it["content"] for it in model.asked[-1][2]["messages"]] == ["?"]
        expect(page.locator("img")).to_have_count(0)
        page.get_by_role("button", name="New chat").click()
        expect(page.locator(".turn")).to_have_count(0)


def hostile(file: Path) -> Path:
    """A recording of what somebody called, and said, so that it would be more than text."""
    obj = workspace(message=HOSTILE, url=f"javascript:{HOSTILE}", inference={"preset": {"name": HOSTILE}})
    obj["resource"]["instanceType"] = obj["status"]["state"] = HOSTILE
    event = json.loads(told.delivery("d1"))
    headers = {**event["data"]["headers"], "ce-apiversion": "kaito.sh/v1alpha1", "content-type": "application/json"}
    data = {"headers": {**headers, "ce-type": f"a.{HOSTILE}"}, "body": json.dumps(obj)}
    decision = told.decision("x1", obj, because=("d1",))
    file.write_bytes(told.said("delivery", "d1", data) + told.kept_object(obj) + decision)
    return file


def test_what_others_wrote_is_text_and_no_page(browser: Browser, tmp_path: Path) -> None:
    with page_of(browser, Console([Files([hostile(tmp_path / "a.ndjson")])])) as page:
        expect(page.locator("#conditions")).to_contain_text(HOSTILE)
        expect(page.locator("#head")).to_contain_text(HOSTILE)
        expect(page.locator("nav [data-key]")).to_contain_text(HOSTILE)
        page.locator(".row").click()
        expect(page.locator("#story")).to_contain_text(HOSTILE)
        expect(page.locator("img")).to_have_count(0)
        expect(page.locator("#head a")).to_have_count(0)
        expect(page).to_have_title("KAITO console")


@contextmanager
def command(*words: str) -> Iterator[str]:
    """The URL that `kaito console` says."""
    argv = [sys.executable, "-c", "from kaito.cli import main; main()", "console", *words]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().partition(" ")[0]
        finally:
            process.terminate()
            assert process.wait(30) == 0


def test_a_console_that_comes_back_is_found_again(browser: Browser, recording: Path) -> None:
    with ExitStack() as first:
        url = first.enter_context(command("-r", str(recording)))
        with opened(browser, f"{url}#default/phi", expected="ERR_") as page:
            connection = page.locator("#connection")
            expect(connection).to_have_text("connected")
            first.close()
            expect(connection).to_have_text("reconnecting")
            with command("-r", str(recording), "--port", str(urlsplit(url).port)) as again:
                assert again == url
                expect(connection).to_have_text("connected", timeout=20_000)
                expect(page.locator(".row")).to_have_count(9)
                expect(page.locator("#trouble")).to_be_hidden()


MANY = 10_000


def test_a_long_recording_is_read_a_page_at_a_time(browser: Browser, tmp_path: Path) -> None:
    with (tmp_path / "a.ndjson").open("wb") as file:
        for number in range(MANY):
            when, name = NOW + timedelta(seconds=number), f"{number:05}"
            obj = workspace(version=str(number + 1), message=f"look {number}")
            file.write(told.kept_object(obj, when=when) + told.delivery(f"d{name}", when=when))
            file.write(told.decision(f"x{name}", obj, because=(f"d{name}",), when=when))
            file.write(told.answer(f"a{name}", f"d{name}", when=when))
    console = Console([Files([tmp_path])])
    with page_of(browser, console) as page:
        place = page.locator("#place")
        expect(place).to_have_text(f"{MANY} lines", timeout=60_000)
        asked: list[int] = []
        page.on("response", lambda answer: asked.append(len(answer.body())) if "/api/" in answer.url else None)
        for to, said in (("5000", "look 5000"), ("0", "look 0"), ("9000", "look 9000")):
            page.get_by_label("Step through").fill(to)
            expect(place).to_have_text(f"{int(to) + 1} of {MANY}", timeout=10_000)
            expect(page.locator("#conditions")).to_contain_text(said, timeout=10_000)
            assert page.locator(".row").count() == 100
        page.keyboard.press("ArrowRight")
        expect(place).to_have_text(f"9002 of {MANY}", timeout=10_000)
        page.get_by_role("button", name="9000 earlier").click()
        expect(place).to_have_text(f"9000 of {MANY}", timeout=10_000)
        assert max(asked) < 100_000
