"""Appends events to an outbox until it is killed, printing each number once ``append`` has returned.

Run as ``python -m tests.support.outbox_writer PATH NODE``; the signing key is of no matter here.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node_executor.outbox import Outbox
from shared.messages import Event, new_id
from shared.signing import Signer
from shared.states import EventKind


def new_event(kind: EventKind = EventKind.PHASE, reason: str = "", node_id: str = "n1") -> Event:
    """Return an event as the runner makes it, with a placeholder for its number."""
    return Event(id=new_id(), kind=kind, node_id=node_id, seq=1, at=datetime.now(UTC), reason=reason)


def main(path: Path, node_id: str) -> None:
    """Append until killed."""
    box = Outbox(path, Signer(node_id, Ed25519PrivateKey.generate()))
    while True:
        event = new_event(node_id=node_id)
        box.append(event)
        print(event.id, flush=True)  # noqa: T201 - the parent reads it


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
