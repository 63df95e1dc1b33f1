"""Exit codes: the only place that knows them."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from shared import errors
from shared.errors import FleetError
from shared.states import RolloutState, ScheduleState, TargetState


class Exit(IntEnum):
    """How osctl ends. Scripts rely on these numbers: they are only ever added to."""

    DONE = 0
    BUG = 1  #: an error that nobody foresaw, here or on the server
    USAGE = 2  #: wrong options or values
    NOT_FOUND = 3
    NOT_ALLOWED = 4
    CONFLICT = 5  #: does not fit the present state
    UNREACHABLE = 6  #: network or TLS; the message says which
    FAILED = 10  #: the update failed; the node still runs the old slot
    ROLLED_BACK = 11  #: the node switched and came back
    HALTED = 12  #: the rollout was paused by its failure threshold
    CANCELLED = 13  #: withdrawn or aborted
    UNHEALTHY = 14
    IMAGE_REFUSED = 15
    WAIT_TIMEOUT = 124
    INTERRUPTED = 130  #: Ctrl-C
    PIPE_CLOSED = 141  #: nobody reads stdout any more


class Ended(Exception):  # noqa: N818 - not an error of ours: the awaited thing ended, and not well
    """What was asked for is known now, and it is not success."""

    def __init__(self, code: Exit, message: str, cure: str = "") -> None:
        self.code = code
        self.message = message
        self.cure = cure
        super().__init__(message)


_ERRORS: Final[dict[type[FleetError], Exit]] = {
    FleetError: Exit.BUG,
    errors.InputError: Exit.USAGE,
    errors.NotFoundError: Exit.NOT_FOUND,
    errors.NotAllowedError: Exit.NOT_ALLOWED,
    errors.ConflictError: Exit.CONFLICT,
    errors.ImageError: Exit.IMAGE_REFUSED,
    errors.NodeError: Exit.FAILED,
    errors.TransportError: Exit.UNREACHABLE,
    errors.WaitTimeoutError: Exit.WAIT_TIMEOUT,
    errors.EnvelopeError: Exit.CONFLICT,
    errors.SignatureError: Exit.NOT_ALLOWED,
}


def of_error(error: FleetError) -> Exit:
    """Return the code of an error: its class's, or its nearest ancestor's."""
    return next(_ERRORS[cls] for cls in type(error).__mro__ if cls in _ERRORS)


def _of_failure(error_kind: str) -> Exit:
    if error_kind == "unhealthy":
        return Exit.UNHEALTHY  # auto-rollback off: the node stays on the new slot
    if error_kind == "no_report":
        return Exit.UNREACHABLE  # the controller gave up waiting for the node
    family = errors.all_errors().get(error_kind)
    return Exit.IMAGE_REFUSED if family is not None and issubclass(family, errors.ImageError) else Exit.FAILED


def of_schedule(state: str, error_kind: str) -> Exit:
    """Return the code of a schedule in a final state."""
    if state == ScheduleState.FAILED:
        return _of_failure(error_kind)
    codes: dict[str, Exit] = {
        ScheduleState.ROLLED_BACK: Exit.ROLLED_BACK,
        ScheduleState.CANCELLED: Exit.CANCELLED,
    }
    return codes.get(state, Exit.DONE)


def of_target(state: str, error_kind: str) -> Exit:
    """Return the code of one node's finished turn."""
    if state in (TargetState.FAILED, TargetState.REFUSED):
        return _of_failure(error_kind)
    codes: dict[str, Exit] = {
        TargetState.ROLLED_BACK: Exit.ROLLED_BACK,
        TargetState.CANCELLED: Exit.CANCELLED,
        TargetState.UNKNOWN: Exit.UNREACHABLE,  # it never answered
    }
    return codes.get(state, Exit.DONE)


#: The worst first: a node on an unproven slot, then nodes whose state nobody knows, then those that came back.
_WORST: Final = (
    Exit.UNHEALTHY,
    Exit.UNREACHABLE,
    Exit.ROLLED_BACK,
    Exit.IMAGE_REFUSED,
    Exit.FAILED,
    Exit.CANCELLED,
    Exit.DONE,
)


def worst(codes: list[Exit]) -> Exit:
    """Return the one code that stands for several nodes' turns."""
    return min(codes, key=_WORST.index, default=Exit.DONE)


def of_rollout(state: str) -> Exit:
    """Return the code of a rollout that ended or halted."""
    codes: dict[str, Exit] = {
        RolloutState.HALTED: Exit.HALTED,
        RolloutState.ABORTED: Exit.CANCELLED,
        RolloutState.ROLLED_BACK: Exit.ROLLED_BACK,
    }
    return codes.get(state, Exit.DONE)
