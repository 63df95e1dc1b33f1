"""A node's intake as a process of its own, for tests that kill, freeze and cut it off.

Run as ``python -m tests.support.redis_worker NODE URL FOLDER TRANSPORT POLL``. It appends one line per order taken to
``FOLDER/taken`` and per refusal to ``FOLDER/refused``, each durable before the order is acknowledged, and ends on
SIGTERM. TRANSPORT ``stock`` runs the same worker over kombu's own Redis transport.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from node_executor.intake import Intake, run_worker
from shared.celery_app import node_app
from shared.errors import FleetError
from shared.messages import Order
from shared.signing import public_from_text


def _append(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def main(node_id: str, url: str, folder: Path, transport: str, poll: int) -> None:
    """Take orders until SIGTERM."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    def take(order: Order) -> None:
        if (folder / "full").exists():
            raise OSError(28, "No space left on device")
        _append(folder / "taken", order.id)

    def refuse(error: FleetError, raw: object) -> None:
        _append(folder / "refused", json.dumps({"kind": error.kind, "raw": raw}))

    app = node_app(node_id, url, poll_seconds=poll)
    if transport == "stock":
        stock = url.replace("unix://", "redis+socket://")
        app.conf.update(broker_url=stock, broker_transport_options={"polling_interval": poll, "priority_steps": [0]})
    key = public_from_text((folder / "orders.pub").read_text())
    Intake(node_id, key, take, refuse, stop, longest_wait=0.5).attach(app)
    run_worker(app, stop)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4], int(sys.argv[5]))
