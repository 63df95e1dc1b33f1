"""A request to update many nodes, as a value: it checks itself, and knows its own digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pydantic import TypeAdapter

from controller.rollout.model import Policy
from controller.rollout.selection import Selection
from shared.errors import InputError
from shared.messages import UpdateSpec

#: Longest name and longest idempotency key, in characters.
LONGEST = 200


@dataclass(frozen=True, kw_only=True)
class Request:
    """Who is to get what, and how carefully.

    Raises:
        InputError: name or idempotency key is too long.
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

    def digest(self) -> str:
        """Return the SHA-256 of the request: the selection counts as written, not the nodes it means today."""
        return hashlib.sha256(_ADAPTER.dump_json(self, exclude={"actor"})).hexdigest()


_ADAPTER = TypeAdapter(Request)
