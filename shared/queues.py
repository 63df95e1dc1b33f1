"""Queue and task names: the only place where either is spelled."""

from __future__ import annotations

import re

#: Celery task that carries an order; runs on the node.
ORDER_TASK = "matic.order"
#: Celery task name in the envelopes that nodes send back; read in batches by the controller's ingest.
EVENT_TASK = "matic.event"
#: The list that all nodes push their events to.
EVENTS_QUEUE = "controller:events"

_NODE_ID = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")


def valid_node_id(node_id: str) -> bool:
    """Whether ``node_id`` can be a queue name, a file name and a certificate's name: a-z 0-9 . _ -, 1 to 63."""
    return _NODE_ID.fullmatch(node_id) is not None


def orders_queue(node_id: str) -> str:
    """Return the node's own queue. The id stands in the key, so that a Redis ACL pattern can isolate it.

    Raises:
        ValueError: the id could reach outside its own key space.
    """
    if not valid_node_id(node_id):
        raise ValueError(f"node id {node_id!r} must be 1 to 63 of a-z 0-9 . _ - and start and end with a-z 0-9")
    return f"node:{node_id}:orders"


def work_list(queue: str) -> str:
    """Return the list that holds messages received from ``queue`` and not yet acknowledged."""
    return f"{queue}:work"


def dead_list(queue: str) -> str:
    """Return the short list that keeps the last messages of ``queue`` which nobody can read."""
    return f"{queue}:dead"
