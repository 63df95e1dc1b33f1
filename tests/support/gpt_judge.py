"""What is right for a disk after a power cut, and what each reader model may see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.support.gpt_disks import Event, MemoryDisk
from tests.support.gpt_powercut import Judge, prefixes
from tests.support.gpt_readers import MODELS, ReadSector, View, careful, flagged, preferred


@dataclass(frozen=True)
class Allowed:
    """The views that are right: the old attributes of both slots or the new ones, never a mixture.

    A model that found nothing it should trust before the change (its copy was damaged) may go on seeing that: a
    change cannot be blamed for the damage. It may not see anything third.
    """

    last: int  #: the last sector
    right: frozenset[View]
    excused: Mapping[str, View]

    @classmethod
    def between(cls, before: MemoryDisk, after: MemoryDisk) -> Allowed:
        """Return what may be seen while ``before`` becomes ``after``."""
        right = frozenset({view_of(before), view_of(after)})
        at_start = {name: model(before.sector, before.sectors - 1) for name, model in MODELS.items()}
        return cls(before.sectors - 1, right, {name: view for name, view in at_start.items() if view not in right})


def view_of(disk: MemoryDisk) -> tuple[int, int]:
    """Return the attributes that count on a disk at rest."""
    view = careful(disk.sector, disk.sectors - 1)
    assert view is not None
    return view


def judge_of(allowed: Allowed) -> Judge:
    """Return a judge that names every model which sees something wrong."""

    def judge(read: ReadSector) -> str:
        views = {name: model(read, allowed.last) for name, model in MODELS.items()}
        return "; ".join(f"{name} sees {wrong}" for name, view in views.items() if (wrong := _wrong(name, view)))

    def _wrong(name: str, view: View) -> str:
        if name in allowed.excused and view == allowed.excused[name]:
            return ""
        if view is None:
            return "no table"
        if len(flagged(view)) != 1 or flagged(view) != preferred(view):
            return f"flags {flagged(view)}, highest priority {preferred(view)}"
        return "" if view in allowed.right else "a choice that is neither the old nor the new one"

    return judge


def judged_prefixes(base: bytes, log: Sequence[Event], judge: Judge) -> list[str]:
    """Return the finding for each number of sectors written in order; "" is good."""
    return [judge(MemoryDisk(base, dict(changed)).sector) for changed in prefixes(log)]
