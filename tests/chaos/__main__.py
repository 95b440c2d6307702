"""``python -m tests.chaos N SEED``: N seeded runs from SEED on; ends with one line of JSON.

A run that fails prints its seed and history, and can be run alone: ``python -m tests.chaos 1 THAT_SEED``.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter

from tests.chaos.run import run


def main(runs: int, first: int) -> int:
    wrong: Counter[str] = Counter()
    began = time.monotonic()
    for seed in range(first, first + runs):
        found = run(seed)
        if found.wrong:
            wrong.update(found.wrong.keys())
            print(f"seed {seed}:", *found.history, sep="\n  ")
    figures = {what: wrong[what] for what in ("leaked", "doubled", "foreign", "unsettled", "lies", "felled", "unsaid")}
    print(json.dumps({"runs": runs, "seconds": round(time.monotonic() - began, 1), **figures}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
