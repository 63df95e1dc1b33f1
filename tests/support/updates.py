"""Updates and orders as tests write them."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from deploy.local.simulated import SimulatedNode
from shared.images import Image
from shared.messages import Order, UpdateSpec
from shared.states import EventKind, OrderKind

NOON = datetime(2026, 1, 27, 12, 0, tzinfo=UTC)


def image(version: str = "2.0.0", **fields: Any) -> Image:
    """Return an image whose digest follows from its version."""
    return Image(
        source=f"https://releases.example/{version}.squashfs",
        sha256=hashlib.sha256(version.encode()).hexdigest(),
        version=version,
        **fields,
    )


def update(version: str = "2.0.0", *, auto_rollback: bool = True, **fields: Any) -> UpdateSpec:
    """Return an update to ``version``."""
    return UpdateSpec(image=image(version), auto_rollback=auto_rollback, **fields)


def update_order(order_id: str = "order-1", seq: int = 1, spec: UpdateSpec | None = None, **fields: Any) -> Order:
    """Return an order to install ``spec``."""
    return Order(
        id=order_id,
        kind=OrderKind.UPDATE,
        node_id="node-1",
        seq=seq,
        issued_at=NOON,
        update=spec or update(),
        **fields,
    )


def order(kind: OrderKind, order_id: str, seq: int, target: str = "", **fields: Any) -> Order:
    """Return an order that is no update."""
    return Order(id=order_id, kind=kind, node_id="node-1", seq=seq, issued_at=NOON, target=target, **fields)


def told(node: SimulatedNode, kind: EventKind) -> list[Any]:
    """Return the events of one kind that a node has reported."""
    return [event for event in node.events if event.kind is kind]


def phases(node: SimulatedNode) -> list[str]:
    """Return the phases that a node has reported, the outcome's included."""
    kinds = (EventKind.PHASE, EventKind.OUTCOME)
    return [str(event.phase) for event in node.events if event.kind in kinds]
