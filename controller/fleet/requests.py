"""A request to update many nodes, as a value: it checks itself, and knows its own digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import TypeAdapter

from controller.rollout.model import Policy
from controller.rollout.selection import Selection
from shared.errors import InputError
from shared.messages import UpdateSpec

#: Longest name and longest idempotency key, in characters.
LONGEST = 200
#: Start times lie before it, so that deadlines after them still fall into the calendar.
LATEST = datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Request:
    """Who is to get what, and how carefully.

    Raises:
        InputError: name or idempotency key is too long, or the start time lies beyond ``LATEST``.
    """

    name: str
    selection: Selection
    update: UpdateSpec
    policy: Policy
    direct: bool
    idempotency_key: str
    actor: str  #: who asks; no part of what is asked

    def __post_init__(self) -> None:
        for what, text in (("name", self.name), ("idempotency key", self.idempotency_key)):
            if len(text) > LONGEST:
                raise InputError(f"cannot use {what} of {len(text)} characters: at most {LONGEST} are allowed")
        if self.update.start_at is not None and self.update.start_at >= LATEST:
            raise InputError(
                f"cannot use start time {self.update.start_at.isoformat()}: it lies in the year {LATEST.year} or later",
                cure="give a start time that somebody will live to see",
            )

    def digest(self) -> str:
        """Return the SHA-256 of the request: the selection counts as written, not the nodes it means today."""
        return hashlib.sha256(_ADAPTER.dump_json(self, exclude={"actor"})).hexdigest()


_ADAPTER = TypeAdapter(Request)
