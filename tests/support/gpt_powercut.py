"""Every state that a power cut can leave a disk in, from the record of its writes and flushes.

The model of the disk: a write of one sector is atomic; what was flushed stays; of what was not, any subset may have
reached the medium (a volatile cache writes in the order it likes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.support.gpt_disks import Event, Flush, MemoryDisk, Write
from tests.support.gpt_readers import ReadSector

Sectors = Mapping[int, bytes]
#: Looks at a disk through a function that reads a sector; what it returns is collected.
Judge = Callable[[ReadSector], str]


def prefixes(log: Sequence[Event]) -> Iterator[Sectors]:
    """Yield the disk's changed sectors after each number of written sectors, none and all included."""
    changed: dict[int, bytes] = {}
    yield dict(changed)
    for event in log:
        if isinstance(event, Write):
            changed[event.lba] = event.data
            yield dict(changed)


@dataclass
class Cut:
    """Some states that a judge cannot tell apart: of the sectors in flight it read only those that are decided."""

    changed: dict[int, bytes]  #: sectors that differ from the disk before the change
    undecided: Mapping[int, Sequence[bytes]]  #: sectors in flight that it did not read, with all they may hold
    finding: str  #: what the judge said; "" is good

    @property
    def states(self) -> int:
        """The number of states that this stands for."""
        count = 1
        for contents in self.undecided.values():
            count *= len(contents)
        return count

    def oldest(self) -> dict[int, bytes]:
        """Return one of the states: nothing undecided has been written."""
        return {**self.changed, **{lba: contents[0] for lba, contents in self.undecided.items()}}

    def newest(self) -> dict[int, bytes]:
        """Return another: all of it has been written."""
        return {**self.changed, **{lba: contents[-1] for lba, contents in self.undecided.items()}}


def subsets(base: bytes, log: Sequence[Event], judge: Judge) -> Iterator[Cut]:
    """Yield every subset of the writes between two flushes, each on top of all that was flushed before.

    Exhaustive without trying 2^32 states for 32 sectors in flight: the judge is deterministic, so two states that
    differ only in sectors which it does not read are one case. It is stopped at each sector in flight that it reads
    for the first time, and run again for each content that the sector may have.
    """
    durable: dict[int, bytes] = {}
    for epoch in _epochs(log):
        disk = MemoryDisk(base, durable)
        contents: dict[int, list[bytes]] = {}
        for write in epoch:
            known = contents.setdefault(write.lba, [disk.sector(write.lba)])
            if write.data not in known:
                known.append(write.data)
        in_flight = {lba: known for lba, known in contents.items() if len(known) > 1}
        yield from _explore(_Search(base, judge, durable, in_flight), {})
        durable.update({write.lba: write.data for write in epoch})


def _epochs(log: Sequence[Event]) -> list[list[Write]]:
    epochs: list[list[Write]] = [[]]
    for event in log:
        if isinstance(event, Flush):
            epochs.append([])
        else:
            epochs[-1].append(event)
    return epochs


class _UndecidedError(Exception):
    def __init__(self, lba: int) -> None:
        super().__init__(lba)
        self.lba = lba


@dataclass
class _Search:
    base: bytes
    judge: Judge
    durable: Sectors
    in_flight: Mapping[int, Sequence[bytes]]
    clean: MemoryDisk = field(init=False)

    def __post_init__(self) -> None:
        self.clean = MemoryDisk(self.base, dict(self.durable))


def _explore(search: _Search, decided: Sectors) -> Iterator[Cut]:
    def read(lba: int) -> bytes:
        if lba in decided:
            return decided[lba]
        if lba in search.in_flight:
            raise _UndecidedError(lba)
        return search.clean.sector(lba)

    try:
        finding = search.judge(read)
    except _UndecidedError as stop:
        for content in search.in_flight[stop.lba]:
            yield from _explore(search, {**decided, stop.lba: content})
    else:
        undecided = {lba: contents for lba, contents in search.in_flight.items() if lba not in decided}
        yield Cut({**search.durable, **decided}, undecided, finding)
