"""docs/reference/messages.md: what ``osctl -o json`` prints, from the .proto files, and what orders and events hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor
from pydantic import BaseModel

from deploy.pages.markdown import comments, first_line, head, table
from shared import queues
from shared.messages import Event, HealthPolicy, Order, UpdateSpec
from shared.proto import common_pb2, fleet_pb2, node_pb2
from shared.signing import EVENT_TYPE, ORDER_TYPE, SCHEMA_VERSION

_PROTO = Path(__file__).parents[2] / "shared/proto"

#: Each osctl command that prints an answer, and its message from a node and from a controller.
ANSWERS: dict[str, tuple[Descriptor | None, Descriptor | None]] = {
    "schedule update": (node_pb2.ScheduleUpdateResponse.DESCRIPTOR, fleet_pb2.FleetScheduleUpdateResponse.DESCRIPTOR),
    "schedule status": (
        node_pb2.GetScheduleStatusResponse.DESCRIPTOR,
        fleet_pb2.FleetGetScheduleStatusResponse.DESCRIPTOR,
    ),
    "schedule cancel": (node_pb2.CancelScheduleResponse.DESCRIPTOR, fleet_pb2.FleetCancelScheduleResponse.DESCRIPTOR),
    "schedule list": (node_pb2.ListSchedulesResponse.DESCRIPTOR, fleet_pb2.FleetListSchedulesResponse.DESCRIPTOR),
    "health": (node_pb2.GetHealthResponse.DESCRIPTOR, fleet_pb2.FleetGetHealthResponse.DESCRIPTOR),
    "rollback trigger": (
        node_pb2.TriggerRollbackResponse.DESCRIPTOR,
        fleet_pb2.FleetTriggerRollbackResponse.DESCRIPTOR,
    ),
    "rollback history": (
        node_pb2.GetRollbackHistoryResponse.DESCRIPTOR,
        fleet_pb2.FleetGetRollbackHistoryResponse.DESCRIPTOR,
    ),
    "rollout create": (None, fleet_pb2.CreateRolloutResponse.DESCRIPTOR),
    "rollout list": (None, fleet_pb2.ListRolloutsResponse.DESCRIPTOR),
    "rollout get": (None, fleet_pb2.GetRolloutResponse.DESCRIPTOR),
    "rollout watch": (None, fleet_pb2.GetRolloutResponse.DESCRIPTOR),
    "rollout pause": (None, fleet_pb2.ChangeRolloutResponse.DESCRIPTOR),
    "rollout resume": (None, fleet_pb2.ChangeRolloutResponse.DESCRIPTOR),
    "rollout abort": (None, fleet_pb2.ChangeRolloutResponse.DESCRIPTOR),
    "node list": (None, fleet_pb2.ListNodesResponse.DESCRIPTOR),
    "node get": (None, fleet_pb2.GetNodeResponse.DESCRIPTOR),
    "node add": (None, fleet_pb2.RegisterNodeResponse.DESCRIPTOR),
}

_TEXT = """## JSON of osctl

With `-o json` a command prints one object: the answer's gRPC message, field by field, under the field's own
name. Every field is always there. What is absent is `null`, instants are RFC 3339 in UTC to the second, enums
are the words of the [glossary](../glossary.md). Fields are only ever added. With `--wait` the object shows the
end, not the beginning.

An error goes to stderr, as one object on one line:

```json
{"error": {"kind": "not_found", "message": "cannot ...", "cure": "...", "exit_code": 3}}
```

Its `kind` is one of the [error kinds](errors.md), or how an awaited thing ended: `failed`, `rolled_back`,
`halted`, `cancelled`, `unhealthy`, `image_refused`, `unreachable`.

Some commands ask no service. `version` prints `osctl`, `controller` and `database`; `doctor` prints `ready` and
`checks` (`name`, `ok`, `message`, `cure`); `ca dev` prints `ca` and `issued` (`role`, `name`, `tls_dir`); the
`context` commands print contexts (`name`, `kind`, `address`, `tls_dir`, `ca`, `cert`, `key`, `server_name`).
"""

_QUEUES = f"""## Orders and events

Between controller and nodes travel Celery task messages with JSON bodies. An order is the only argument of task
`{queues.ORDER_TASK}` in the list `node:ID:orders`; an event that of task `{queues.EVENT_TASK}` in the list
`{queues.EVENTS_QUEUE}`. Both are envelopes:

| Field | Meaning |
| --- | --- |
| `v` | schema version, {SCHEMA_VERSION}; another one is refused with `unknown_schema_version` |
| `type` | `{ORDER_TYPE}` or `{EVENT_TYPE}` |
| `key_id` | who signed: `controller`, or the node's id |
| `payload` | the message as JSON text |
| `signature` | Ed25519 over the DSSE pre-authentication encoding of `type` and `payload`, in base64 |

Fields that are not set are left out of the payload; a reader ignores fields that it does not know. Facts, health
reports, images, windows and rollback records look as in the JSON of osctl.
"""


def render() -> str:
    """Return the page."""
    parts = [head("Messages", "What scripts and other programs read: JSON answers, orders and events."), _TEXT]
    parts += ["### Which command prints what\n", _answers()]
    parts += [_message(descriptor) for descriptor in _all_messages()]
    parts.append(_QUEUES)
    models: tuple[type[BaseModel], ...] = (Order, Event, UpdateSpec, HealthPolicy)
    return "\n".join([*parts, *[_model(model) for model in models]])


def _answers() -> str:
    rows = [(f"`{name}`", *(_fields_of(answer) for answer in pair)) for name, pair in ANSWERS.items()]
    return table(("Command", "From a node", "From a controller"), rows)


def _fields_of(descriptor: Descriptor | None) -> str:
    return "-" if descriptor is None else ", ".join(_shown(field) for field in descriptor.fields)


def _shown(field: Any) -> str:  # noqa: ANN401 - a descriptor of two implementations
    kind = _type(field)
    return f"`{field.name}`" if kind == "text" else f"`{field.name}`: {kind}"


def _type(field: Any) -> str:  # noqa: ANN401 - likewise
    scalars = {field.TYPE_STRING: "text", field.TYPE_BOOL: "true or false"}
    scalars |= {field.TYPE_INT32: "integer", field.TYPE_INT64: "integer", field.TYPE_DOUBLE: "number"}
    kind = field.message_type
    if kind is None:
        return f"list of {scalars[field.type]}s" if field.is_repeated else scalars[field.type]
    if kind.GetOptions().map_entry:
        return f"object of {_type(kind.fields_by_name['value'])}s"
    if kind.full_name == "google.protobuf.Timestamp":
        return "instant"
    name = f"[{kind.name}](#{kind.name.lower()})"
    return f"list of {name}" if field.is_repeated else name


def _all_messages() -> list[Descriptor]:
    """Return every message below an answer, each once, in the order in which it is met."""
    found: dict[str, Descriptor] = {}
    todo = [answer for pair in ANSWERS.values() for answer in pair if answer is not None]
    answers = {answer.full_name for answer in todo}
    while todo:
        descriptor = todo.pop(0)
        for field in descriptor.fields:
            kind = field.message_type
            if kind is None or kind.GetOptions().map_entry or kind.file.package == "google.protobuf":
                continue
            if kind.full_name not in found and kind.full_name not in answers:
                found[kind.full_name] = kind
                todo.append(kind)
    return list(found.values())


def _message(descriptor: Descriptor) -> str:
    said = _proto_comments(descriptor)
    rows = [(f"`{field.name}`", _type(field), said.get(field.name, "")) for field in descriptor.fields]
    return f"### {descriptor.name}\n\n{table(('Field', 'Type', 'Meaning'), rows)}"


def _proto_comments(descriptor: Descriptor) -> dict[str, str]:
    text = (_PROTO / Path(descriptor.file.name).name).read_text(encoding="utf-8")
    _, _, body = text.partition(f"message {descriptor.name} {{")
    return dict(re.findall(r"(\w+) = \d+;\s+// (.*)", body.partition("\n}")[0]))


def _model(model: type[BaseModel]) -> str:
    said = comments(model)
    rows = [(f"`{name}`", said.get(name, "")) for name in model.model_fields]
    title = f"{model.__name__} (in orders and events)" if model.__name__ in _shared_names() else model.__name__
    return f"### {title}\n\n{first_line(model)}\n\n{table(('Field', 'Meaning'), rows)}"


def _shared_names() -> set[str]:
    return {descriptor.name for descriptor in common_pb2.DESCRIPTOR.message_types_by_name.values()}
