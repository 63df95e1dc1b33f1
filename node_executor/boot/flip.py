"""The atomic change of boot attributes: no power cut leaves a reader without exactly one choice.

A disk provisioned with ``sgdisk --move-main-table`` has room for two arrays of entries at its start, of which the
primary header names one. A flip then goes, with a flush after each step:

1. the new entries into the array that the primary header does not name: no reader sees them;
2. the primary header, one sector, naming that array: **the commit point**;
3. the backup's entries, whose readers have a valid primary by now;
4. the backup's header.

Assumptions: a write of one sector is atomic, and a flush keeps its promise. Writing in place, as partitioning tools do,
was measured to leave a reader without a table in half of all cut points. Only sectors that differ are written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from node_executor.boot.disk import Disk
from node_executor.boot.gpt import PRIMARY_LBA, Gpt, Header, Table, read_gpt
from shared.errors import BootloaderError


@dataclass(frozen=True, kw_only=True)
class ShadowLayout:
    """The two places for entries at the start of a disk."""

    first: int  #: LBA 2
    second: int  #: the LBA after the first array: 34 with sectors of 512 bytes
    end: int  #: the first LBA that a partition may use

    @classmethod
    def of(cls, table: Table, sector_size: int) -> ShadowLayout:
        """Return the layout of a disk.

        Raises:
            BootloaderError: the disk was not provisioned with room for a second array.
        """
        header, count = table.header, -(-table.header.array_bytes // sector_size)
        layout = cls(first=PRIMARY_LBA + 1, second=PRIMARY_LBA + 1 + count, end=PRIMARY_LBA + 1 + 2 * count)
        lowest = min((p.first_lba for p in table.partitions().values()), default=layout.end)
        is_primary = header.my_lba == PRIMARY_LBA
        named_elsewhere = is_primary and header.entries_lba not in (layout.first, layout.second)
        if min(header.first_usable, lowest) < layout.end or named_elsewhere:
            raise BootloaderError(
                "cannot change boot attributes safely: the disk has no shadow entry array "
                f"(first usable sector {header.first_usable}, needed {layout.end}; entries at {header.entries_lba})",
                cure=f"lay the disk out with `matic-agent provision-disk`, or, if no partition starts below sector "
                f"{layout.end}, run `sgdisk --move-main-table={layout.second}` on it once",
            )
        return layout

    def spare(self, named: int | None) -> int:
        """Return the LBA of the array that is not the ``named`` one."""
        return self.second if named == self.first else self.first


def flip(disk: Disk, changes: Mapping[int, int]) -> bool:
    """Set the 64-bit attribute fields of the numbered partitions in one atomic step; True if anything was written.

    A stale or damaged copy is brought in line on the way.

    Raises:
        BootloaderError: no valid table, no shadow array, or the disk refuses. Before the commit point the old choice
            stands; after it the new one does, and ``repair`` completes the backup.
    """
    gpt, layout = _read(disk)
    array = gpt.current.with_attributes(changes)
    if gpt.in_step and array == gpt.current.array:
        return False
    _write(disk, gpt, layout, array)
    return True


def repair(disk: Disk) -> bool:
    """Bring a stale or damaged copy in line with the one that counts; True if anything was written.

    Raises:
        BootloaderError: neither copy is valid, no shadow array, or the disk refuses.
    """
    return flip(disk, {})


def _read(disk: Disk) -> tuple[Gpt, ShadowLayout]:
    # A predecessor that was killed before its flush left a header that we can read but a power cut can still lose.
    # Unless it is durable first, the array that the lost header names is the very one that we would overwrite.
    disk.flush()
    gpt = read_gpt(disk)
    return gpt, ShadowLayout.of(gpt.current, disk.sector_size)


def _write(disk: Disk, gpt: Gpt, layout: ShadowLayout, array: bytes) -> None:
    if isinstance(gpt.primary, Table) and gpt.primary.array == array:
        primary = gpt.primary.header
    else:
        primary = _commit(disk, gpt, layout, array)
    _write_backup(disk, gpt, primary, array)


def _commit(disk: Disk, gpt: Gpt, layout: ShadowLayout, array: bytes) -> Header:
    is_valid = isinstance(gpt.primary, Table)
    named = gpt.primary.header.entries_lba if isinstance(gpt.primary, Table) else gpt.primary.entries_lba
    backup_lba = gpt.current.header.alternate_lba if is_valid else gpt.current.header.my_lba
    target = layout.spare(named)
    _write_changed(disk, target, array)
    disk.flush()
    header = gpt.current.header.at(PRIMARY_LBA, backup_lba, target, array)
    disk.write(PRIMARY_LBA, header.encode())
    disk.flush()
    return header


def _write_backup(disk: Disk, gpt: Gpt, primary: Header, array: bytes) -> None:
    count = -(-len(array) // disk.sector_size)
    # The specification puts the second array right before its header; a valid header may know better.
    entries_lba = gpt.backup.header.entries_lba if isinstance(gpt.backup, Table) else primary.alternate_lba - count
    if entries_lba <= primary.last_usable:
        cause = f"its entries would lie in the usable area, which ends at sector {primary.last_usable}"
        raise BootloaderError(f"cannot write backup partition table: {cause}", cure="move it with `sgdisk -e`")
    _write_changed(disk, entries_lba, array)
    disk.flush()
    header = primary.at(primary.alternate_lba, PRIMARY_LBA, entries_lba, array)
    disk.write(primary.alternate_lba, header.encode())
    disk.flush()


def _write_changed(disk: Disk, lba: int, array: bytes) -> None:
    """Write the sectors that differ, one by one: unread sectors cannot be torn."""
    size = disk.sector_size
    count = -(-len(array) // size)
    old, new = disk.read(lba, count), array.ljust(count * size, b"\0")
    for index in range(count):
        sector = new[index * size : (index + 1) * size]
        if sector != old[index * size : (index + 1) * size]:
            disk.write(lba + index, sector)
