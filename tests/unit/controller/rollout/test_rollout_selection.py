"""Which nodes a selection means."""

from __future__ import annotations

import pytest

from controller.rollout.selection import Selection, check_labels, parse_selector
from shared.errors import InputError


@pytest.mark.parametrize(
    ("selector", "labels", "fits"),
    [
        pytest.param("site=berlin", {"site": "berlin"}, True, id="equal"),
        pytest.param("site==berlin", {"site": "berlin"}, True, id="equal-twice"),
        pytest.param("site=berlin", {"site": "bonn"}, False, id="not-equal"),
        pytest.param("site=berlin", {}, False, id="missing"),
        pytest.param("site!=berlin", {"site": "bonn"}, True, id="differs"),
        pytest.param("site!=berlin", {}, True, id="differs-where-missing"),
        pytest.param("site!=berlin", {"site": "berlin"}, False, id="does-not-differ"),
        pytest.param("canary", {"canary": ""}, True, id="present"),
        pytest.param("canary", {}, False, id="not-present"),
        pytest.param("!canary", {}, True, id="absent"),
        pytest.param("!canary", {"canary": "yes"}, False, id="not-absent"),
        pytest.param("canary=", {"canary": ""}, True, id="empty-value"),
        pytest.param(" site = berlin , ! legacy ", {"site": "berlin"}, True, id="spaces"),
        pytest.param("site=berlin,tier!=prod", {"site": "berlin", "tier": "prod"}, False, id="every-term-must-hold"),
        pytest.param("example.com/rack=r-7", {"example.com/rack": "r-7"}, True, id="prefixed-key"),
    ],
)
def test_a_selector_fits_labels(selector: str, labels: dict[str, str], fits: bool) -> None:  # noqa: FBT001 - a table
    parsed = parse_selector(selector)

    matched = parsed.matches(labels)

    assert matched is fits


@pytest.mark.parametrize(
    ("selector", "quoted"),
    [
        pytest.param("", "empty", id="empty"),
        pytest.param("site=berlin,", "''", id="comma-at-the-end"),
        pytest.param("site in (a)", "'site in (a)'", id="set-syntax"),
        pytest.param("!site=berlin", "'!site=berlin'", id="negated-twice"),
        pytest.param("site>3", "'site>3'", id="greater"),
        pytest.param("=berlin", "'=berlin'", id="no-key"),
    ],
)
def test_a_wrong_selector_is_refused_with_its_wrong_term(selector: str, quoted: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_selector(selector)

    assert quoted in caught.value.message


@pytest.mark.parametrize(
    "labels", [{"a b": "x"}, {"": "x"}, {"a": "x,y"}, {"a": "-x"}], ids=["space", "empty", "comma", "dash"]
)
def test_labels_that_no_selector_can_name_are_refused(labels: dict[str, str]) -> None:
    with pytest.raises(InputError):
        check_labels(labels)


@pytest.mark.parametrize(
    "values",
    [{}, {"nodes": ("n1",), "all": True}, {"nodes": ("n1",), "selector": "a"}, {"nodes": ("n1", "n1")}],
    ids=["nothing", "names-and-all", "names-and-selector", "twice"],
)
def test_a_selection_is_exactly_one_thing(values: dict[str, object]) -> None:
    with pytest.raises(InputError):
        Selection(**values)  # type: ignore[arg-type]
