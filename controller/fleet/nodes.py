"""Calls about nodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from controller.fleet.base import Calls, chosen
from controller.rollout.model import FleetNode
from controller.rollout.selection import ALL, Selection, check_labels
from controller.store.store import Transaction
from shared.errors import InputError, NotFoundError
from shared.queues import valid_node_id
from shared.signing import public_from_text


class NodeCalls(Calls):
    """Register and look up nodes."""

    def register_node(
        self, node_id: str, *, labels: Mapping[str, str], address: str, event_key: str, actor: str
    ) -> FleetNode:
        """Add a node, or change labels, address and key of a known one; "" keeps a known node's key.

        Raises:
            InputError: id, a label, the address or the key is not usable.
        """
        _check(node_id, labels, address)

        def work(tx: Transaction, now: datetime) -> FleetNode:
            key = _key(tx, node_id, event_key)
            node = FleetNode(id=node_id, labels=labels, address=address, event_key=key)
            tx.audit.add(at=now, actor=actor, action="node.register", subject=node_id)
            return tx.nodes.register(node, now)

        return self._write(work)

    def nodes(self, selection: Selection = ALL) -> Sequence[FleetNode]:
        """Return the chosen nodes by id; a selector may match none.

        Raises:
            NotFoundError: a named node is not registered.
            InputError: the selector cannot be read.
        """
        with self._store.snapshot() as tx:
            return chosen(tx, selection)

    def node(self, node_id: str) -> FleetNode:
        """Return one node.

        Raises:
            NotFoundError: it is not registered.
        """
        with self._store.snapshot() as tx:
            return tx.nodes.get(node_id)


def _check(node_id: str, labels: Mapping[str, str], address: str) -> None:
    if not valid_node_id(node_id):
        raise InputError(
            f"cannot register node {node_id!r}: not a usable id",
            cure="use 1 to 63 of a-z 0-9 . _ - and start and end with a-z 0-9",
        )
    check_labels(labels)
    host, colon, port = address.rpartition(":")
    if address and not (colon and host and port.isdecimal() and 0 < int(port) < 1 << 16):
        raise InputError(f"cannot register node {node_id}: address {address!r} is not host:port")


def _key(tx: Transaction, node_id: str, event_key: str) -> str:
    if event_key:
        public_from_text(event_key)
        return event_key
    try:
        return tx.nodes.get(node_id).event_key
    except NotFoundError as error:
        raise InputError(
            f"cannot register node {node_id}: its event key is missing", cure="give the content of its events.pub"
        ) from error
