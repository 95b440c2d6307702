"""An upgrade, rehearsed: what this release would decide otherwise than the one that made the recording.

The recording is of an earlier commit. Where another plan is meant, ``python -m tests.contract.eventing.test_rehearsal``
writes the differences down, for a person to read them; with ``--record`` it makes the recording anew, of this release.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from eventing.recordings.recording import read
from eventing.recordings.replay import Replay, difference
from tests.unit.eventing.recordings.scenes import history

FOLDER: Final = Path(__file__).parents[1] / "fixtures" / "recordings"
RECORDING: Final = FOLDER / "functions.ndjson"
DIFFERENCES: Final = FOLDER / "differences.txt"


def differences() -> str:
    recording = read([RECORDING])
    lines = list[str]()
    with Replay(recording) as replay:
        for number, record in enumerate(recording.decisions.values(), 1):
            again = replay.decide(record)
            if not again.same:
                lines += [f"{number}. {record.function} {record.subject}", *([again.trouble] if again.trouble else [])]
                lines += difference(again, recording)
    return "".join(f"{line}\n" for line in lines)


def test_this_release_decides_otherwise_exactly_where_it_is_meant_to() -> None:
    assert differences() == DIFFERENCES.read_text()


def test_the_recording_has_decisions_of_all_functions() -> None:
    recording = read([RECORDING])
    functions = {it.function for it in recording.decisions.values() if it.data["plan"]["effects"]}
    assert functions == {"kaito-workspace", "kaito-provisioner", "kaito-tuning"}


if __name__ == "__main__":
    if "--record" in sys.argv:
        history().write(RECORDING)
    DIFFERENCES.write_text(differences())
