"""Models <-> protobuf and errors <-> gRPC status, each direction beside its opposite.

Rules:
- Only this package knows both the models and the messages; only ``status`` knows gRPC codes.
- ``*_to_proto`` cannot fail. ``*_from_proto`` validates, and raises ``InputError`` naming field and value.
- A message field at its default means "not said": the model's default applies.
"""

from __future__ import annotations

from shared.wire.models import (
    facts_from_proto,
    facts_to_proto,
    health_from_proto,
    health_to_proto,
    instant_from_proto,
    instant_to_proto,
    invalid,
    rollback_from_proto,
    rollback_to_proto,
    schedule_from_proto,
    schedule_to_proto,
    update_from_proto,
    update_to_proto,
    window_from_proto,
    window_to_proto,
)
from shared.wire.server import ErrorInterceptor, abort
from shared.wire.status import ERROR_METADATA_KEY, detail_of, error_from_rpc, has_detail, status_code

__all__ = [
    "ERROR_METADATA_KEY",
    "ErrorInterceptor",
    "abort",
    "detail_of",
    "error_from_rpc",
    "facts_from_proto",
    "facts_to_proto",
    "has_detail",
    "health_from_proto",
    "health_to_proto",
    "instant_from_proto",
    "instant_to_proto",
    "invalid",
    "rollback_from_proto",
    "rollback_to_proto",
    "schedule_from_proto",
    "schedule_to_proto",
    "status_code",
    "update_from_proto",
    "update_to_proto",
    "window_from_proto",
    "window_to_proto",
]
