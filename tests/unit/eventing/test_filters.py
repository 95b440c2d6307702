from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.filters import predicate
from eventing.manifest import ManifestError

EVENT = {"type": "dev.knative.apiserver.resource.add", "kind": "Workspace", "namespace": "", "source": "/s"}
WORKSPACE = {"exact": {"kind": "Workspace"}}
NODE = {"exact": {"kind": "Node"}}


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, True),
        ({"filters": []}, True),
        ({"filter": {"attributes": {"kind": "Workspace"}}}, True),
        ({"filter": {"attributes": {"kind": "Workspace", "source": "/other"}}}, False),
        ({"filter": {"attributes": {"kind": ""}}}, True),
        ({"filter": {"attributes": {"absent": ""}}}, False),
        ({"filter": {"attributes": {"namespace": ""}}}, False),
        ({"filter": {"attributes": {"kind": "Node"}}, "filters": [WORKSPACE]}, True),
        ({"filters": [WORKSPACE]}, True),
        ({"filters": [WORKSPACE, NODE]}, False),
        ({"filters": [{"exact": {"kind": "Workspace", "source": "/s"}}]}, True),
        ({"filters": [{"exact": {"absent": "x"}}]}, False),
        ({"filters": [{"prefix": {"type": "dev.knative."}}]}, True),
        ({"filters": [{"prefix": {"type": "knative"}}]}, False),
        ({"filters": [{"suffix": {"type": ".add"}}]}, True),
        ({"filters": [{"suffix": {"absent": "d"}}]}, False),
        ({"filters": [{"any": [NODE, WORKSPACE]}]}, True),
        ({"filters": [{"any": [NODE]}]}, False),
        ({"filters": [{"all": [NODE, WORKSPACE]}]}, False),
        ({"filters": [{"not": NODE}]}, True),
        ({"filters": [{"not": {"any": [{"all": [WORKSPACE]}, NODE]}}]}, False),
        ({"filters": [{"cesql": "kind = 'Workspace' AND type LIKE 'dev.knative.%'"}]}, True),
        ({"filters": [{"cesql": "kind IN ('Node', 'Machine')"}]}, False),
        ({"filters": [{"cesql": "kind"}]}, False),
        ({"filters": [{"cesql": "LENGTH(kind)"}]}, False),
        ({"filters": [{"cesql": "absent = 'x'"}]}, False),
        ({"filters": [{"not": {"cesql": "absent = 'x'"}}]}, True),
        ({"filters": [{"any": [{"cesql": "absent = 'x'"}, WORKSPACE]}]}, True),
        ({"filters": [WORKSPACE, {"cesql": "NOT EXISTS absent"}]}, True),
    ],
)
def test_predicate(spec: dict[str, Any], wanted: bool) -> None:
    assert predicate(spec)(EVENT) is wanted


@pytest.mark.parametrize(
    ("spec", "field", "reason"),
    [
        ({"filters": [{"cesql": "kind = "}]}, "spec.filters[0].cesql", "at 8: the end stands where a value should"),
        ({"filters": [{"cesql": "NOPE(kind)"}]}, "spec.filters[0].cesql", "no function NOPE of 1 arguments"),
        ({"filters": [{"cesql": ""}]}, "spec.filters[0].cesql", "where a value should"),
        ({"filters": [{"not": {"cesql": True}}]}, "spec.filters[0].not.cesql", "must be an expression"),
        ({"filters": [WORKSPACE, {}]}, "spec.filters[1]", "exactly one"),
        ({"filters": [{**WORKSPACE, "not": NODE}]}, "spec.filters[0]", "exactly one"),
        ({"filters": [{"regex": {"kind": "x"}}]}, "spec.filters[0].regex", "unknown dialect"),
        ({"filters": [{"any": [NODE, {"exact": {}}]}]}, "spec.filters[0].any[1].exact", "at least one"),
        ({"filters": [{"exact": {"Kind": "x"}}]}, "spec.filters[0].exact.Kind", "lower-case"),
        ({"filters": [{"exact": {"kind": ""}}]}, "spec.filters[0].exact.kind", "not empty"),
        ({"filters": [{"exact": {"count": 3}}]}, "spec.filters[0].exact.count", "quote"),
        ({"filters": [{"all": []}]}, "spec.filters[0].all", "at least one"),
        ({"filters": [{"not": [NODE]}]}, "spec.filters[0].not", "exactly one"),
        ({"filters": WORKSPACE}, "spec.filters", "list"),
        ({"filter": {"attribute": {"kind": "x"}}}, "spec.filter", "attributes"),
    ],
)
def test_a_bad_filter_is_refused_by_name(spec: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(ManifestError, match=reason) as refused:
        predicate(spec)
    assert refused.value.field == field


@given(st.dictionaries(st.sampled_from(["kind", "type", "name"]), st.text(max_size=3)))
def test_not_is_the_opposite(attributes: dict[str, str]) -> None:
    inner = {"any": [{"prefix": {"kind": "W"}}, {"suffix": {"name": "1"}}]}
    wanted, unwanted = predicate({"filters": [inner]}), predicate({"filters": [{"not": inner}]})
    assert wanted(attributes) is not unwanted(attributes)
