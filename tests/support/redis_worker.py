"""A node's intake as a process of its own, for tests that kill, freeze and cut it off.

Run as ``python -m tests.support.redis_worker NODE URL FOLDER OPTIONS``. As a node does, it makes each order durable
before it is acknowledged and absorbs duplicates by id: first arrivals are lines of ``FOLDER/taken``, later ones of
``FOLDER/duplicates``, refusals of ``FOLDER/refused``. While ``FOLDER/full`` exists, its disk is full. SIGTERM ends it.
OPTIONS is JSON: ``stock`` runs the same worker over kombu's own Redis transport; the rest are transport options.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

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


def main(node_id: str, url: str, folder: Path, options: dict[str, Any]) -> None:
    """Take orders until SIGTERM, or until the test that started this process is gone."""
    threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    taken = folder / "taken"
    known = set(taken.read_text().split()) if taken.exists() else set()

    def take(order: Order) -> None:
        if (folder / "full").exists():
            _append(folder / "attempts", order.id)
            raise OSError(errno.ENOSPC, "No space left on device")
        _append(folder / "duplicates" if order.id in known else taken, order.id)
        known.add(order.id)

    def refuse(error: FleetError, raw: object) -> None:
        _append(folder / "refused", json.dumps({"kind": error.kind, "raw": raw}))

    app = node_app(node_id, url)
    if options.pop("stock", False):
        options["priority_steps"] = [0]
        app.conf.update(broker_url=url.replace("unix://", "redis+socket://"), broker_transport_options={})
    app.conf.broker_transport_options.update(options)
    key = public_from_text((folder / "orders.pub").read_text())
    Intake(node_id, key, take, refuse, stop, longest_wait=0.5).attach(app)
    run_worker(app, stop)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4]))
