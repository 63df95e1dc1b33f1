"""The GUID partition table as typed values: two copies, each valid or damaged.

Layout from the UEFI specification, section 5.3: a header of one sector at LBA 1, a second at the disk's end, each with
an array of entries and two CRCs. This module only reads and encodes; ``flip`` decides what is
written and in what order.
"""

from __future__ import annotations

import struct
import uuid
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

from node_executor.boot.disk import Disk
from shared.errors import BootloaderError

PRIMARY_LBA = 1
_SIGNATURE = b"EFI PART"
_HEADER = struct.Struct("<8sIII4xQQQQ16sQIII")
_CRC_OFFSET = 16
_ENTRY = struct.Struct("<16s16sQQQ72s")
_ATTRIBUTES_OFFSET = 48
_MOST_ARRAY_BYTES = 1 << 20  # a damaged header may claim anything; real arrays have 16 KiB


@dataclass(frozen=True, kw_only=True)
class Header:
    """One copy's header; ``raw`` keeps the fields that are not ours, so that encoding changes nothing else."""

    raw: bytes
    my_lba: int
    alternate_lba: int
    first_usable: int
    last_usable: int
    disk_guid: uuid.UUID
    entries_lba: int
    entry_count: int
    entry_size: int
    entries_crc: int

    @classmethod
    def decode(cls, sector: bytes) -> Header:
        """Read the fields without judging them."""
        fields = _HEADER.unpack_from(sector)
        _, _, _, _, mine, alternate, first, last, guid, entries, count, size, crc = fields
        return cls(
            raw=sector,
            my_lba=mine,
            alternate_lba=alternate,
            first_usable=first,
            last_usable=last,
            disk_guid=uuid.UUID(bytes_le=guid),
            entries_lba=entries,
            entry_count=count,
            entry_size=size,
            entries_crc=crc,
        )

    @property
    def array_bytes(self) -> int:
        """Bytes of the array of entries."""
        return self.entry_count * self.entry_size

    def encode(self) -> bytes:
        """Return the header's sector with its own CRC computed."""
        _, revision, size, *_ = _HEADER.unpack_from(self.raw)
        numbers = (self.my_lba, self.alternate_lba, self.first_usable, self.last_usable)
        array = (self.entries_lba, self.entry_count, self.entry_size, self.entries_crc)
        sector = bytearray(self.raw)
        _HEADER.pack_into(sector, 0, _SIGNATURE, revision, size, 0, *numbers, self.disk_guid.bytes_le, *array)
        struct.pack_into("<I", sector, _CRC_OFFSET, zlib.crc32(sector[:size]))
        return bytes(sector)

    def at(self, my_lba: int, alternate_lba: int, entries_lba: int, array: bytes) -> Header:
        """Return this header as it must read at ``my_lba``, describing ``array`` at ``entries_lba``."""
        place = replace(self, my_lba=my_lba, alternate_lba=alternate_lba, entries_lba=entries_lba)
        return replace(place, entries_crc=zlib.crc32(array))


@dataclass(frozen=True, kw_only=True)
class Partition:
    """One used entry."""

    number: int  #: counted from 1
    type_guid: uuid.UUID
    unique_guid: uuid.UUID
    first_lba: int
    last_lba: int  #: inclusive
    attributes: int  #: 64 bits, see ``shared.slots.SlotStatus``
    name: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """One valid copy: both CRCs are right."""

    header: Header
    array: bytes

    def partitions(self) -> Mapping[int, Partition]:
        """Return the used entries by number."""
        size = self.header.entry_size
        numbered = ((i + 1, self.array[i * size : (i + 1) * size]) for i in range(self.header.entry_count))
        return {number: _partition(number, entry) for number, entry in numbered if any(entry[:16])}

    def with_attributes(self, changes: Mapping[int, int]) -> bytes:
        """Return the array with the attribute fields of the numbered partitions replaced."""
        array = bytearray(self.array)
        for number, field in changes.items():
            offset = (number - 1) * self.header.entry_size + _ATTRIBUTES_OFFSET
            struct.pack_into("<Q", array, offset, field)
        return bytes(array)


@dataclass(frozen=True, kw_only=True)
class Damage:
    """One copy that no careful reader would use."""

    lba: int
    reason: str
    entries_lba: int | None = None  #: where a careless reader would look for entries; None: nowhere


@dataclass(frozen=True, kw_only=True)
class Gpt:
    """Both copies of a disk's table."""

    primary: Table | Damage
    backup: Table | Damage

    @property
    def current(self) -> Table:
        """The copy that counts: the primary one if it is valid, as every reader sees it.

        Raises:
            BootloaderError: neither copy is valid.
        """
        for copy in (self.primary, self.backup):
            if isinstance(copy, Table):
                return copy
        reasons = "; ".join(c.reason for c in (self.primary, self.backup) if isinstance(c, Damage))
        cure = "lay the disk out with `matic-agent provision-disk`, or write a full disk image; both copies are lost"
        raise BootloaderError(f"cannot read partition table: {reasons}", cure=cure)

    @property
    def in_step(self) -> bool:
        """Whether both copies are valid and say the same."""
        if not (isinstance(self.primary, Table) and isinstance(self.backup, Table)):
            return False
        main, second = self.primary.header, self.backup.header
        expected = main.at(main.alternate_lba, PRIMARY_LBA, second.entries_lba, self.primary.array)
        return self.backup.array == self.primary.array and expected.encode() == second.encode()


def read_gpt(disk: Disk) -> Gpt:
    """Read both copies.

    Raises:
        BootloaderError: the disk answers with an error. Damage is a value, not an error.
    """
    primary = _read_copy(disk, PRIMARY_LBA)
    # On a disk that was grown the second copy is where the first one says, not at the end.
    backup = _read_copy(disk, primary.header.alternate_lba if isinstance(primary, Table) else disk.sectors - 1)
    return Gpt(primary=primary, backup=backup)


def _read_copy(disk: Disk, lba: int) -> Table | Damage:
    if not PRIMARY_LBA <= lba < disk.sectors:
        return Damage(lba=lba, reason=f"sector {lba} is not on the disk")
    sector = disk.read(lba, 1)
    _, _, size, crc, *_ = _HEADER.unpack_from(sector)
    if not sector.startswith(_SIGNATURE):
        return Damage(lba=lba, reason=f"no partition table header in sector {lba}")
    header = Header.decode(sector)
    unsigned = sector[:_CRC_OFFSET] + b"\0" * 4 + sector[_CRC_OFFSET + 4 : size]
    if not _HEADER.size <= size <= disk.sector_size or zlib.crc32(unsigned) != crc or header.my_lba != lba:
        reason = f"damaged partition table header in sector {lba}"
        return Damage(lba=lba, reason=reason, entries_lba=header.entries_lba)
    return _read_array(disk, header)


def _read_array(disk: Disk, header: Header) -> Table | Damage:
    count = -(-header.array_bytes // disk.sector_size)
    fits = header.entry_size >= _ENTRY.size and header.array_bytes <= _MOST_ARRAY_BYTES
    if fits and header.entries_lba + count <= disk.sectors:
        array = disk.read(header.entries_lba, count)[: header.array_bytes]
        if zlib.crc32(array) == header.entries_crc:
            return Table(header=header, array=array)
    reason = f"damaged partition entries in sector {header.entries_lba}, named by sector {header.my_lba}"
    return Damage(lba=header.my_lba, reason=reason, entries_lba=header.entries_lba)


def _partition(number: int, entry: bytes) -> Partition:
    type_guid, unique_guid, first, last, attributes, name = _ENTRY.unpack_from(entry)
    return Partition(
        number=number,
        type_guid=uuid.UUID(bytes_le=type_guid),
        unique_guid=uuid.UUID(bytes_le=unique_guid),
        first_lba=first,
        last_lba=last,
        attributes=attributes,
        name=name.decode("utf-16-le", "replace").rstrip("\0"),
    )
