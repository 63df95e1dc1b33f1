"""What all calls share: the transaction that is tried again, and the way from a selection to nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from controller.rollout.model import FleetNode
from controller.rollout.selection import Selection, parse_selector
from controller.store.store import Store, Transaction
from shared.errors import InputError, NotFoundError, StaleVersionError

T = TypeVar("T")

#: Times that a call is done anew after the engine or ingest was quicker.
ATTEMPTS = 10
#: Names in one message; the rest is a number.
_NAMED = 10


class Calls:
    """Base of the calls.

    Args:
        store: where everything lives.
        clock: returns the present, aware.
        wake: tells engine and dispatch, after a commit, that there may be something to do.
    """

    def __init__(self, store: Store, *, clock: Callable[[], datetime], wake: Callable[[], None]) -> None:
        self._store = store
        self._clock = clock
        self._wake = wake

    def _write(self, work: Callable[[Transaction, datetime], T]) -> T:
        """Do ``work`` in one writing transaction, again from the start if somebody else was quicker.

        Raises:
            StaleVersionError: somebody else was quicker every time.
        """
        for _ in range(ATTEMPTS - 1):
            try:
                return self._once(work)
            except StaleVersionError:
                continue
        return self._once(work)

    def _once(self, work: Callable[[Transaction, datetime], T]) -> T:
        with self._store.transaction() as tx:
            tx.after_commit(self._wake)
            return work(tx, self._clock())


def chosen(tx: Transaction, selection: Selection) -> list[FleetNode]:
    """Return the selected nodes by id; may be none unless they were named.

    Raises:
        NotFoundError: a named node is not registered.
        InputError: the selector cannot be read.
    """
    if selection.nodes:
        known = {node.id: node for node in tx.nodes.all()}
        missing = sorted(set(selection.nodes) - known.keys())
        if missing:
            raise NotFoundError(f"cannot find {_nodes(missing)}: not registered", cure="see osctl node list")
        return [known[name] for name in sorted(selection.nodes)]
    if selection.all:
        return list(tx.nodes.all())
    selector = parse_selector(selection.selector)
    return [node for node in tx.nodes.all() if selector.matches(node.labels)]


def some(tx: Transaction, selection: Selection) -> list[FleetNode]:
    """Return the selected nodes by id, at least one.

    Raises:
        NotFoundError: a named node is not registered.
        InputError: the selector cannot be read, or nothing is selected.
    """
    nodes = chosen(tx, selection)
    if not nodes and selection.selector:
        cure = "see the labels in osctl node list"
        raise InputError(f"cannot choose nodes: selector {selection.selector!r} matches none", cure=cure)
    if not nodes:
        raise InputError("cannot choose nodes: none is registered", cure="register nodes first")
    return nodes


def names(node_ids: Sequence[str]) -> str:
    """Return a few names, and how many more there are."""
    more = [f"{len(node_ids) - _NAMED} more"] if len(node_ids) > _NAMED else []
    return ", ".join([*node_ids[:_NAMED], *more])


def _nodes(node_ids: Sequence[str]) -> str:
    return f"node{'s' if len(node_ids) > 1 else ''} {names(node_ids)}"
