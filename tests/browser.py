"""A headless Chromium, for pages."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from typing import Final

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

#: In a container as root it has no sandbox; and it is to look nobody up on the network.
_FLAGS: Final = (
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("there is no chromium: make test-packages installs it where it may (as root, on Debian)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser: Browser, url: str, expected: str = "") -> Iterator[Page]:
    """That page; nothing that is wrong is said in the browser's console, but for what has the ``expected`` in it."""
    page = browser.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(url)
    yield page
    page.close()
    assert not [text for text in said if not expected or expected not in text]
