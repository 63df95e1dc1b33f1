"""``BootControl`` on a GPT disk: the rules of ``choice``, the change of ``flip``, the cross-check of ``readers``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from node_executor.boot.choice import Statuses, armed, marked_good, retired
from node_executor.boot.disk import Disk, open_disk
from node_executor.boot.flip import flip
from node_executor.boot.gpt import Table, read_gpt
from node_executor.boot.readers import READERS, Reader
from shared.errors import BootloaderError
from shared.slots import MAX_TRIES, Slot, SlotStatus

#: The attribute bits that are ours: 2 and 48-56. All others are kept.
OUR_BITS = 1 << 2 | 0x1FF << 48


class OpenDisk(Protocol):
    """How a disk is opened and locked; ``disk.open_disk`` outside tests."""

    def __call__(self, path: Path, *, writable: bool) -> AbstractContextManager[Disk]:
        """See ``disk.open_disk``."""
        ...


class GptBootControl:
    """The boot attributes of partitions 2 and 3 of one disk.

    Every call locks the disk, so that any number of processes may hold one of these for the same disk. Bit 2 of other
    partitions is left as it is.
    """

    def __init__(self, disk: Path, *, readers: Sequence[Reader] = READERS, opener: OpenDisk = open_disk) -> None:
        """Control the slots of ``disk``, a block device or an image file; nothing is opened yet."""
        self._disk = disk
        self._readers = readers
        self._open = opener

    def status(self) -> Mapping[Slot, SlotStatus]:
        """See ``ports.BootControl.status``."""
        with self._open(self._disk, writable=False) as disk:
            return _statuses(_fields(read_gpt(disk).current))

    def arm(self, slot: Slot, *, tries: int = MAX_TRIES) -> None:
        """See ``ports.BootControl.arm``; refuses when the other slot is not proven."""
        self._change(lambda now: armed(now, slot, tries))

    def mark_good(self, slot: Slot) -> None:
        """See ``ports.BootControl.mark_good``."""
        self._change(lambda now: marked_good(now, slot))

    def retire(self, slot: Slot) -> None:
        """See ``ports.BootControl.retire``."""
        self._change(lambda now: retired(now, slot))

    def repair(self) -> bool:
        """See ``ports.BootControl.repair``."""
        return self._change(lambda now: now)

    def _change(self, rule: Callable[[Statuses], Statuses]) -> bool:
        """Apply ``rule`` atomically and have it confirmed; True if anything was written."""
        with self._open(self._disk, writable=True) as disk:
            now = _fields(read_gpt(disk).current)
            wanted = {
                slot: now[slot] & ~OUR_BITS | status.attributes() for slot, status in rule(_statuses(now)).items()
            }
            if not flip(disk, {slot.partition_number: field for slot, field in wanted.items()}):
                return False
            self._confirm(wanted)
        return True

    def _confirm(self, wanted: Mapping[Slot, int]) -> None:
        for reader in self._readers:
            seen = reader(self._disk)
            if seen != wanted:
                raise BootloaderError(
                    f"cannot trust {self._disk}: an independent reader sees attributes {_show(seen)}, "
                    f"but {_show(wanted)} was written",
                    cure="look at the disk with `sgdisk --verify`; the table may be changed by another program",
                )


def _fields(table: Table) -> dict[Slot, int]:
    partitions = table.partitions()
    for slot in Slot:
        if slot.partition_number not in partitions:
            cause = f"the disk has no partition {slot.partition_number} for slot {slot}"
            raise BootloaderError(
                f"cannot read boot attributes: {cause}", cure="lay the disk out with `matic-agent provision-disk`"
            )
    return {slot: partitions[slot.partition_number].attributes for slot in Slot}


def _statuses(fields: Mapping[Slot, int]) -> dict[Slot, SlotStatus]:
    return {slot: SlotStatus.from_attributes(slot, field) for slot, field in fields.items()}


def _show(fields: Mapping[Slot, int]) -> str:
    return ", ".join(f"{slot}={field:016x}" for slot, field in sorted(fields.items()))
