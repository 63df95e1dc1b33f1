"""Which slot boots next: the rules, as pure functions from both slots' attributes to both slots' attributes.

Invariants of every result:
- exactly one slot is flagged (bit 2, for firmware that knows only that), and it has the highest priority (bits 48-51,
  for firmware that knows priority, tries and success): both kinds of firmware choose the same slot;
- a slot that is not proven is never the fallback.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from shared.errors import BootloaderError
from shared.slots import Slot, SlotStatus

Statuses = Mapping[Slot, SlotStatus]

PRIORITY_CHOSEN = 2
PRIORITY_FALLBACK = 1
_TRIES_LIMIT = 15  # the field has four bits


def is_proven(status: SlotStatus) -> bool:
    """Whether the slot was marked good and has not been retired since."""
    return status.successful and status.priority > 0


def armed(now: Statuses, slot: Slot, tries: int) -> Statuses:
    """Return the attributes with ``slot`` to be booted next, ``tries`` times at most, the other as fallback.

    Raises:
        ValueError: ``tries`` does not fit its field.
        BootloaderError: the other slot is not proven, so that there would be nothing to fall back to.
    """
    if not 1 <= tries <= _TRIES_LIMIT:
        raise ValueError(f"{tries} tries do not fit: 1 to {_TRIES_LIMIT}")
    _demand_proven(now, slot.other(), f"arm slot {slot}")
    return {slot: chosen(slot, tries=tries), slot.other(): _fallback(slot.other())}


def marked_good(now: Statuses, slot: Slot) -> Statuses:
    """Return the attributes with ``slot`` proven and chosen, the other as fallback if that one is proven too."""
    other = slot.other()
    return {slot: chosen(slot), other: _fallback(other) if is_proven(now[other]) else never(other)}


def retired(now: Statuses, slot: Slot) -> Statuses:
    """Return the attributes with ``slot`` never to be booted and the other chosen.

    Raises:
        BootloaderError: the other slot is not proven.
    """
    _demand_proven(now, slot.other(), f"retire slot {slot}")
    return {slot: never(slot), slot.other(): chosen(slot.other())}


def chosen(slot: Slot, *, tries: int = 0) -> SlotStatus:
    """Return the attributes of the slot to boot: unproven with ``tries``, or proven."""
    return SlotStatus(slot=slot, flagged=True, priority=PRIORITY_CHOSEN, tries=tries, successful=tries == 0)


def _fallback(slot: Slot) -> SlotStatus:
    return replace(chosen(slot), flagged=False, priority=PRIORITY_FALLBACK)


def never(slot: Slot) -> SlotStatus:
    """Return the attributes of a slot that is not to be booted."""
    return SlotStatus(slot=slot, flagged=False, priority=0, tries=0, successful=False)


def _demand_proven(now: Statuses, slot: Slot, purpose: str) -> None:
    if not is_proven(now[slot]):
        cure = f"boot slot {slot} and let its health be proven first, or mark it good if it is known to be"
        raise BootloaderError(f"cannot {purpose}: slot {slot}, which would be left, is not proven good", cure=cure)
