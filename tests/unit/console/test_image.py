"""What the Dockerfile copies and its extra installs is all that the console imports, and its page is there."""

from __future__ import annotations

from pathlib import Path

from tests import dockerfile

PAGE = """
import console.__main__
from console.app import create_app
from console.chat import Chats
from console.console import Console
answer = create_app(Console([]), Chats(inside=True)).test_client().get("/")
print(answer.status_code, "KAITO" in answer.text)
"""


def test_the_image_has_what_it_imports(tmp_path: Path) -> None:
    done = dockerfile.run("console/Dockerfile", "console", PAGE, tmp_path)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "200 True\n")
