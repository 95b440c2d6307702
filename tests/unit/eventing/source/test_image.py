"""What the Dockerfile copies and its extra installs is all that the program imports."""

from __future__ import annotations

from pathlib import Path

from tests import dockerfile

HELP = """
import runpy
sys.argv = ["eventing.source", "--help"]
runpy.run_module("eventing.source", run_name="__main__")
"""


def test_the_image_has_what_it_imports(tmp_path: Path) -> None:
    done = dockerfile.run("eventing/source/Dockerfile", "source", HELP, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--spool" in done.stdout
