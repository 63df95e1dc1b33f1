"""Registering and finding nodes."""

from __future__ import annotations

from typing import Any

import pytest

from controller.rollout.selection import ALL, Selection
from controller.store.store import Store
from shared.errors import InputError, NotFoundError
from tests.support.fleet_bench import ALICE, EVENT_KEY, Bench

_GIVEN = {"labels": {}, "address": "", "event_key": EVENT_KEY, "actor": ALICE}


def test_registering_again_changes_labels_and_keeps_key_and_facts(store: Store) -> None:
    bench = Bench(store)
    bench.register("n0", site="berlin")
    bench.runs("n0", "1.0.0")

    changed = bench.fleet.register_node(
        "n0", labels={"site": "bonn"}, address="n0.example:50051", event_key="", actor=ALICE
    )

    assert (changed.labels, changed.address, changed.event_key) == ({"site": "bonn"}, "n0.example:50051", EVENT_KEY)
    assert changed.facts is not None
    assert bench.fleet.node("n0") == changed
    assert len(bench.audit("node.register")) == 2


@pytest.mark.parametrize(
    ("node_id", "given", "says"),
    [
        pytest.param("../n0", {}, "not a usable id", id="id"),
        pytest.param("n0", {"labels": {"a b": "c"}}, "'a b'", id="label"),
        pytest.param("n0", {"address": "nowhere"}, "'nowhere'", id="address-without-port"),
        pytest.param("n0", {"address": "host:99999"}, "'host:99999'", id="port"),
        pytest.param("n0", {"event_key": "abc"}, "public key", id="key"),
        pytest.param("n0", {"event_key": ""}, "event key is missing", id="no-key"),
    ],
)
def test_what_cannot_be_a_node_is_refused(store: Store, node_id: str, given: dict[str, Any], says: str) -> None:
    bench = Bench(store)

    with pytest.raises(InputError) as caught:
        bench.fleet.register_node(node_id, **(_GIVEN | given))

    assert says in caught.value.message
    assert bench.fleet.nodes() == []


def test_nodes_are_found_by_name_label_and_all(store: Store) -> None:
    bench = Bench(store)
    bench.register("n1", site="bonn")
    bench.register("n0", site="berlin")

    found = [
        [node.id for node in bench.fleet.nodes(selection)]
        for selection in (ALL, Selection(selector="site=bonn"), Selection(nodes=("n1", "n0")), Selection(selector="x"))
    ]

    assert found == [["n0", "n1"], ["n1"], ["n0", "n1"], []]
    with pytest.raises(NotFoundError, match="n9"):
        bench.fleet.nodes(Selection(nodes=("n9",)))
    with pytest.raises(NotFoundError, match="n9"):
        bench.fleet.node("n9")
