"""A stand-in for firmware: choose the slot to boot from the GPT attributes, and count the try of an unproven one.

It shares no code with the executor's boot control, as firmware would not, so that each checks the other. It knows only
what is on the disk, and the disk may be in any state that a power cut can leave:

- the primary table counts if both its CRCs are right, else the backup;
- bootable is a slot with a priority above 0 that is successful or has tries left; the highest priority wins;
- a try is taken off **before** the slot is started, so that a boot that dies anywhere is counted;
- a slot that has used up its tries loses priority and flag when another is chosen, as ChromeOS firmware does it.

Changes are atomic: new entries go where the primary header does not point, then the header's one sector is written.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

SECTOR = 512  # a virtual node's disk is an image file
_SLOTS = {"A": 2, "B": 3}
_FLAG, _SUCCESSFUL = 1 << 2, 1 << 56
_PRIORITY, _TRIES = 48, 52  # where the two four-bit fields begin


class NothingBootableError(Exception):
    """No slot can be started; the machine stays dark."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The slot that is started now."""

    slot: str  #: "A" or "B"
    offset: int  #: bytes from the start of the disk
    length: int  #: bytes
    tries_left: int | None  #: None: the slot is proven
    fell_back: bool  #: a slot with higher priority had used up its tries


class Medium(Protocol):
    """The disk, in bytes; ``sync`` returns when all writes are durable."""

    def size(self) -> int:
        """Return the bytes on the disk."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes."""
        ...

    def write(self, offset: int, data: bytes) -> None:
        """Write ``data``."""
        ...

    def sync(self) -> None:
        """Make all writes durable."""
        ...


class ImageFile:
    """An image file as medium."""

    def __init__(self, descriptor: int) -> None:
        """Use an open descriptor."""
        self._fd = descriptor

    def size(self) -> int:
        """See ``Medium.size``."""
        return os.fstat(self._fd).st_size

    def read(self, offset: int, length: int) -> bytes:
        """See ``Medium.read``."""
        return os.pread(self._fd, length, offset)

    def write(self, offset: int, data: bytes) -> None:
        """See ``Medium.write``."""
        os.pwrite(self._fd, data, offset)

    def sync(self) -> None:
        """See ``Medium.sync``."""
        os.fsync(self._fd)


def boot(disk: Path) -> Choice:
    """Choose the slot to start on the image file ``disk`` and count the try.

    Raises:
        NothingBootableError: no valid table, or no slot that may be started.
        OSError: the image file cannot be read or written.
    """
    descriptor = os.open(disk, os.O_RDWR | os.O_CLOEXEC)
    try:
        return choose(ImageFile(descriptor))
    finally:
        os.close(descriptor)


def choose(medium: Medium) -> Choice:
    """Do what ``boot`` does, on any medium."""
    medium.sync()  # nothing may be judged, or built upon, that a power cut could still take back
    primary = _read_copy(medium, 1)
    backup = _read_copy(medium, medium.size() // SECTOR - 1)
    table = primary or backup
    if table is None:
        raise NothingBootableError("neither copy of the partition table is valid")
    fields = {slot: table.attributes(number) for slot, number in _SLOTS.items()}
    ranked = sorted(fields, key=lambda slot: -(fields[slot] >> _PRIORITY & 15))
    startable = [slot for slot in ranked if _may_start(fields[slot])]
    if not startable:
        raise NothingBootableError(f"no slot may be started: { ({s: f'{f:016x}' for s, f in fields.items()}) }")
    chosen = startable[0]
    used_up = [slot for slot in ranked[: ranked.index(chosen)] if fields[slot] >> _PRIORITY & 15]
    wanted = _count(fields, chosen, used_up)
    if wanted != fields:
        _flip(medium, table, table.with_attributes({_SLOTS[slot]: field for slot, field in wanted.items()}))
    first, last = table.extent(_SLOTS[chosen])
    return Choice(
        slot=chosen,
        offset=first * SECTOR,
        length=(last - first + 1) * SECTOR,
        tries_left=None if wanted[chosen] & _SUCCESSFUL else wanted[chosen] >> _TRIES & 15,
        fell_back=bool(used_up),
    )


def _may_start(field: int) -> bool:
    return bool(field >> _PRIORITY & 15) and bool(field & _SUCCESSFUL or field >> _TRIES & 15)


def _count(fields: dict[str, int], chosen: str, used_up: list[str]) -> dict[str, int]:
    wanted = dict(fields)
    if not fields[chosen] & _SUCCESSFUL:
        wanted[chosen] -= 1 << _TRIES
    for slot in used_up:
        wanted[slot] &= ~(_FLAG | 15 << _PRIORITY)
        wanted[chosen] |= _FLAG
    return wanted


@dataclass(frozen=True)
class _Copy:
    """One valid copy of the table: its header's sector and its entries."""

    header: bytes
    entries: bytes

    def _offset(self, number: int) -> int:
        size: int = struct.unpack_from("<I", self.header, 84)[0]
        return (number - 1) * size

    def attributes(self, number: int) -> int:
        field: int = struct.unpack_from("<Q", self.entries, self._offset(number) + 48)[0]
        return field

    def extent(self, number: int) -> tuple[int, int]:
        first, last = struct.unpack_from("<QQ", self.entries, self._offset(number) + 32)
        return first, last

    def with_attributes(self, fields: dict[int, int]) -> bytes:
        entries = bytearray(self.entries)
        for number, field in fields.items():
            struct.pack_into("<Q", entries, self._offset(number) + 48, field)
        return bytes(entries)


def _read_copy(medium: Medium, lba: int) -> _Copy | None:
    header = medium.read(lba * SECTOR, SECTOR)
    if len(header) < SECTOR or header[:8] != b"EFI PART":
        return None
    size, crc = struct.unpack_from("<II", header, 12)
    if not 92 <= size <= SECTOR or zlib.crc32(header[:16] + bytes(4) + header[20:size]) != crc:  # noqa: PLR2004 - UEFI
        return None
    where, count, entry_size, entries_crc = struct.unpack_from("<QIII", header, 72)
    entries = medium.read(where * SECTOR, count * entry_size)
    return _Copy(header, entries) if zlib.crc32(entries) == entries_crc else None


def _flip(medium: Medium, table: _Copy, entries: bytes) -> None:
    mine, other, first_usable = struct.unpack_from("<QQQ", table.header, 24)
    backup_lba = other if mine == 1 else mine
    count = -(-len(entries) // SECTOR)
    if first_usable < 2 + 2 * count:
        raise NothingBootableError("a try cannot be counted safely: the disk has no shadow entry array")
    # Even a damaged header may still be followed by a reader that checks no CRC: stay off the entries that it names.
    named = struct.unpack_from("<Q", medium.read(SECTOR, SECTOR), 72)[0]
    spare = 2 + count if named == 2 else 2  # noqa: PLR2004 - LBA 2 follows the header
    for entries_lba, my_lba, alternate in ((spare, 1, backup_lba), (backup_lba - count, backup_lba, 1)):
        medium.write(entries_lba * SECTOR, entries)
        medium.sync()
        medium.write(my_lba * SECTOR, _header(table.header, my_lba, alternate, entries_lba, entries))
        medium.sync()


def _header(like: bytes, my_lba: int, alternate: int, entries_lba: int, entries: bytes) -> bytes:
    header = bytearray(like)
    struct.pack_into("<QQ", header, 24, my_lba, alternate)
    struct.pack_into("<Q", header, 72, entries_lba)
    struct.pack_into("<I", header, 88, zlib.crc32(entries))
    struct.pack_into("<I", header, 16, 0)
    size: int = struct.unpack_from("<I", header, 12)[0]
    struct.pack_into("<I", header, 16, zlib.crc32(header[:size]))
    return bytes(header)
