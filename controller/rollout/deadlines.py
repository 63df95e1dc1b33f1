"""When silence becomes an answer: pure. All by the controller's clock.

A node that waits for a start time or a window is not silent, so the time to finish begins where the node may begin,
and with a window it ends only after the window that it may use has closed.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from controller.rollout.model import Policy, Target
from shared.messages import UpdateSpec


def may_begin(update: UpdateSpec, since: datetime) -> datetime:
    """Return the first instant from ``since`` on at which start time and window let a node switch."""
    begin = max(since, update.start_at) if update.start_at else since
    if update.window is None or update.window.contains(begin):
        return begin
    return update.window.next_opening(begin)


def expires_at(update: UpdateSpec, policy: Policy, ordered_at: datetime) -> datetime:
    """Return when an order not yet started must not be started any more: a node that was off for long asks anew."""
    return may_begin(update, ordered_at) + timedelta(seconds=policy.accept_deadline)


def accept_by(target: Target, policy: Policy) -> datetime | None:
    """Return when the node must have taken the order; None if none is out."""
    return target.ordered_at + timedelta(seconds=policy.accept_deadline) if target.ordered_at else None


def finish_by(target: Target, update: UpdateSpec, policy: Policy) -> datetime | None:
    """Return when the outcome of an accepted order must be there; None if it was not accepted."""
    if target.accepted_at is None:
        return None
    begin = may_begin(update, target.accepted_at)
    closes = update.window.closes_at(begin) if update.window else None
    return (closes or begin) + timedelta(seconds=policy.finish_deadline)
