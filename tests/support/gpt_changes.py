"""The changes of boot attributes whose power cuts are replayed, and the damage that a disk may have before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.local import firmware
from node_executor.boot.control import GptBootControl
from shared.slots import Slot
from tests.support.gpt_disks import ARRAY, SECTOR, FirmwareView, MemoryDisk, provisioned_image

Step = Callable[[MemoryDisk], object]


def control(disk: MemoryDisk) -> GptBootControl:
    """Return the executor's boot control; other people's readers need a file and have tests of their own."""
    return GptBootControl(Path("in-memory"), readers=(), opener=disk.opener())


def arm(slot: Slot, tries: int = 3) -> Step:
    return lambda disk: control(disk).arm(slot, tries=tries)


def mark_good(slot: Slot) -> Step:
    return lambda disk: control(disk).mark_good(slot)


def retire(slot: Slot) -> Step:
    return lambda disk: control(disk).retire(slot)


def start(disk: MemoryDisk) -> firmware.Choice:
    """Do what the stand-in for firmware does at power-on."""
    return firmware.choose(FirmwareView(disk))


@dataclass(frozen=True)
class Change:
    """Steps that bring a freshly provisioned disk to where the change begins, and the change itself."""

    before: tuple[Step, ...]
    step: Step


_TO_B = (arm(Slot.B), mark_good(Slot.B))
CHANGES = {
    "arm B": Change((arm(Slot.B), retire(Slot.B)), arm(Slot.B)),
    "arm A": Change((*_TO_B, retire(Slot.A)), arm(Slot.A)),
    "mark B good": Change((arm(Slot.B), start), mark_good(Slot.B)),
    "mark A good after a fall-back": Change((arm(Slot.B, 1), start), mark_good(Slot.A)),
    "retire the fallback": Change(_TO_B, retire(Slot.A)),
    "retire the choice": Change((arm(Slot.B), start), retire(Slot.B)),
    "firmware counts a try": Change((arm(Slot.B),), start),
    "firmware counts the last try": Change((arm(Slot.B, 2), start), start),
    "firmware falls back": Change((arm(Slot.B, 1), start), start),
}


def _flip_byte(lba: int, offset: int) -> Callable[[MemoryDisk, MemoryDisk], dict[int, bytes]]:
    def damage(_: MemoryDisk, disk: MemoryDisk) -> dict[int, bytes]:
        where = lba % disk.sectors
        sector = bytearray(disk.sector(where))
        sector[offset] ^= 0xFF
        return {where: bytes(sector)}

    return damage


def _named_array(disk: MemoryDisk) -> int:
    return int.from_bytes(disk.sector(1)[72:80], "little")


def _damage_primary_entries(earlier: MemoryDisk, disk: MemoryDisk) -> dict[int, bytes]:
    return _flip_byte(_named_array(disk), 200)(earlier, disk)


def _rubbish_in_spare_array(_: MemoryDisk, disk: MemoryDisk) -> dict[int, bytes]:
    spare = 2 if _named_array(disk) == 2 + ARRAY else 2 + ARRAY
    return {spare + index: bytes([index + 1]) * SECTOR for index in range(ARRAY)}


def _stale_backup(earlier: MemoryDisk, disk: MemoryDisk) -> dict[int, bytes]:
    return {lba: earlier.sector(lba) for lba in range(disk.sectors - ARRAY - 1, disk.sectors)}


def _rubbish_in_backup(_: MemoryDisk, disk: MemoryDisk) -> dict[int, bytes]:
    return dict.fromkeys(range(disk.sectors - ARRAY - 1, disk.sectors), b"\xa5" * SECTOR)


#: From the disk one step earlier, and the disk, to the sectors that the damage changes.
DAMAGES: dict[str, Callable[[MemoryDisk, MemoryDisk], dict[int, bytes]]] = {
    "intact": lambda _earlier, _disk: {},
    "spare array rubbish": _rubbish_in_spare_array,
    "backup stale": _stale_backup,
    "backup header damaged": _flip_byte(-1, 40),
    "backup entries damaged": _flip_byte(-1 - ARRAY, 200),
    "backup rubbish": _rubbish_in_backup,
    "primary header CRC wrong": _flip_byte(1, 17),
    "primary header wiped": lambda _earlier, _disk: {1: bytes(SECTOR)},
    "primary entries damaged": _damage_primary_entries,
}


def disk_before(change: Change, damage: str = "intact") -> MemoryDisk:
    """Return a disk on which ``change`` is about to begin."""
    disk = earlier = MemoryDisk(provisioned_image())
    for step in change.before:
        earlier = MemoryDisk(disk.image())
        disk = MemoryDisk(disk.image())
        step(disk)
    harmed = MemoryDisk(disk.image())
    harmed.changed.update(DAMAGES[damage](earlier, harmed))
    return MemoryDisk(harmed.image())
