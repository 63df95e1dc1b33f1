"""Three models of who reads a partition table at boot, written without a look at our own readers.

- ``careless``: the primary table, no CRC (SeaBIOS with gptmbr.bin).
- ``strict``: the primary table, both CRCs, nothing else (U-Boot).
- ``careful``: the primary table if both CRCs are right, else the backup (Linux with ``gpt`` on its command line).

Each returns the attribute fields of partitions 2 and 3, or None if it finds no table.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable

#: From a sector's number to its 512 bytes.
ReadSector = Callable[[int], bytes]
View = tuple[int, int] | None
Model = Callable[[ReadSector, int], View]


def careless(read: ReadSector, last: int) -> View:
    header = read(1)
    if header[:8] != b"EFI PART":
        return None
    entries, size = number(header, 72, 8), number(header, 84, 4)
    if not 2 <= entries <= last or size != 128:
        return None
    return fields(read(entries))  # partitions 1 to 4 share one sector


def strict(read: ReadSector, last: int) -> View:
    return checked(read, 1, last)


def careful(read: ReadSector, last: int) -> View:
    return checked(read, 1, last) or checked(read, last, last)


MODELS: dict[str, Model] = {"careless": careless, "strict": strict, "careful": careful}


def checked(read: ReadSector, lba: int, last: int) -> View:
    header = read(lba)
    length = number(header, 12, 4)
    blanked = header[:16] + b"\0\0\0\0" + header[20:length]
    if header[:8] != b"EFI PART" or length > 512 or binascii.crc32(blanked) != number(header, 16, 4):
        return None
    first, total = number(header, 72, 8), number(header, 80, 4) * number(header, 84, 4)
    if number(header, 24, 8) != lba or first + total // 512 > last:
        return None
    array = b"".join(read(first + index) for index in range(total // 512))
    return fields(array) if binascii.crc32(array) == number(header, 88, 4) else None


def number(data: bytes, offset: int, length: int) -> int:
    return int.from_bytes(data[offset : offset + length], "little")


def fields(array: bytes) -> tuple[int, int]:
    return number(array, 128 + 48, 8), number(array, 256 + 48, 8)


def flagged(view: tuple[int, int]) -> list[int]:
    """Return the partitions that carry the legacy BIOS bootable flag."""
    return [partition for partition, field in zip((2, 3), view, strict=True) if field & 0b100]


def preferred(view: tuple[int, int]) -> list[int]:
    """Return the partitions with the highest priority: one, unless the attributes are ambiguous."""
    priorities = [field >> 48 & 0b1111 for field in view]
    return [partition for partition, one in zip((2, 3), priorities, strict=True) if one == max(priorities)]
