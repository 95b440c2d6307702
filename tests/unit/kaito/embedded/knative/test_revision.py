from __future__ import annotations

import pytest

from kaito.embedded.knative.revision import Revision, gpus_of


def test_defaults_are_knatives() -> None:
    revision = Revision("ns", "x", "x-00001", {"spec": {"containers": [{}]}})
    assert (revision.container_port, revision.min_scale, revision.idle_limit) == (8080, 0, 60)
    assert (revision.timeout, revision.concurrency, revision.progress_deadline) == (300, None, 600)


@pytest.mark.parametrize(
    ("first", "main", "held"),
    [([], [0], 0), ([], [1, 2], 3), ([2], [0], 2), ([1, 4, 2], [1], 4), ([1, 1], [1, 2], 3), ([None], [None], 0)],
)
def test_a_pod_holds_what_its_containers_do_or_one_that_goes_before(
    first: list[int | None], main: list[int | None], held: int
) -> None:
    def containers(gpus: list[int | None]) -> list[dict[str, object]]:
        return [{} if it is None else {"resources": {"limits": {"nvidia.com/gpu": str(it)}}} for it in gpus]

    assert gpus_of({"initContainers": containers(first), "containers": containers(main)}) == held
