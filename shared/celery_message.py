"""One Celery message as it lies in a Redis list: Celery's protocol 2 inside kombu's virtual transport envelope.

Nodes push their events in this form, so that any Celery consumer can read them, and the controller's ingest reads
raw lists of them in batches, without a Celery worker.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from shared.errors import EnvelopeError
from shared.messages import new_id


def read_message(raw: bytes) -> dict[str, Any]:
    """Return the Celery message in ``raw``, with every part that a worker relies on checked.

    Raises:
        EnvelopeError: it is not one.
    """
    try:
        message = json.loads(raw)
        headers, properties = message["headers"], message["properties"]
        needed = (headers["task"], headers["id"], properties["delivery_tag"], message["body"])
        encoding = properties.get("body_encoding") or "utf-8"
        readable = all(isinstance(part, str) for part in needed) and encoding in ("base64", "utf-8")
        if readable and encoding == "base64":
            base64.b64decode(message["body"], validate=True)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise EnvelopeError(f"cannot read Celery message {raw[:80]!r}: {error!r}") from error
    if not readable:
        raise EnvelopeError(f"cannot read Celery message {raw[:80]!r}: a part of it has the wrong type")
    return dict(message)


def decode_message(raw: bytes) -> list[Any]:
    """Return the positional arguments of the task in ``raw``.

    Raises:
        EnvelopeError: it is not a Celery message with a JSON body.
    """
    message = read_message(raw)
    body = message["body"]
    try:
        if message["properties"].get("body_encoding") == "base64":
            body = base64.b64decode(body)
        args, _kwargs, _embed = json.loads(body)
    except (ValueError, TypeError, RecursionError) as error:
        raise EnvelopeError(f"cannot read body of Celery message {message['headers']['id']}: {error!r}") from error
    if not isinstance(args, list):
        raise EnvelopeError(f"cannot read body of Celery message {message['headers']['id']}: no list of arguments")
    return args


def write_message(task: str, task_id: str, args: list[Any], queue: str) -> bytes:
    """Return what kombu would push to ``queue`` for ``task``; the contract test compares the two."""
    embed = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    body = json.dumps([args, {}, embed]).encode()
    headers = {
        "lang": "py",
        "task": task,
        "id": task_id,
        "root_id": task_id,
        "argsrepr": "",  # the envelope belongs into no log
        "kwargsrepr": "",
        "ignore_result": True,
        "retries": 0,
        "timelimit": [None, None],
        "stamps": {},
    } | dict.fromkeys(("shadow", "eta", "expires", "group", "group_index", "parent_id", "origin", "stamped_headers"))
    properties = {
        "correlation_id": task_id,
        "reply_to": "",
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": new_id(),
    }
    message = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers | {"replaced_task_nesting": 0},
        "properties": properties,
    }
    return json.dumps(message).encode()
