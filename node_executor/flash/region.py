"""Where a slot lies, and who else uses those bytes: mounts and holders, found by device number.

A slot is a stretch of a block device or of an image file. The same bytes can be reached through other devices: a disk
through its partitions and the reverse, a file through a loop device, either through device-mapper. All of them count.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SYS = Path("/sys/dev/block")
_SECTOR = 512  # sysfs counts in these, whatever the device's own sectors are


@dataclass(frozen=True, kw_only=True)
class SlotRegion:
    """``length`` bytes from ``offset`` on the block device or in the image file ``path``."""

    path: Path
    offset: int = 0
    length: int

    def overlaps(self, other: SlotRegion) -> bool:
        """Whether both share a byte of the same device or file."""
        if self.offset >= other.offset + other.length or other.offset >= self.offset + self.length:
            return False
        return self.path == other.path or _same(self.path, other.path)


def narrowed(region: SlotRegion) -> SlotRegion:
    """Return the same bytes as a partition device of their own where there is one, else ``region``.

    The kernel caches a partition and its disk separately: what is written through the disk can be hidden by older
    pages of the partition that is mounted later. A partition can also be claimed for ourselves, a stretch cannot.
    """
    for number, start, length in _partitions(_device(region.path)):
        if (start, length) == (region.offset, region.length):
            node = Path("/dev", (_SYS / number).resolve().name)
            if node.exists() and _device(node) == number:
                return SlotRegion(path=node, length=length)
    return region


def user_of(region: SlotRegion) -> str | None:
    """Return what uses any byte of ``region``: a mount point or swap, or None."""
    mounted = _mounts()
    for number in _views(region):
        if number in mounted:
            return f"mounted on {mounted[number]}"
    return None


def claimable(region: SlotRegion) -> bool:
    """Whether ``region`` is a whole block device, a partition or a volume, and not a stretch of one."""
    number = _device(region.path)
    if number is None or region.offset:
        return False
    return int((_SYS / number / "size").read_text()) * _SECTOR == region.length


def read_only(path: Path) -> bool:
    """Whether ``path`` is a block device that is switched to read-only: it still opens for writing."""
    number = _device(path)
    return number is not None and (_SYS / number / "ro").read_text().strip() == "1"


def _same(one: Path, other: Path) -> bool:
    try:
        if _device(one) is not None:
            return _device(one) == _device(other)
        return one.samefile(other)
    except OSError:
        return False


def _device(path: Path) -> str | None:
    """Return the number of a block device as the kernel writes it, ``8:2``; None for anything else."""
    try:
        status = path.stat()
    except OSError:
        return None
    return _number(status.st_rdev) if stat.S_ISBLK(status.st_mode) else None


def _number(device: int) -> str:
    return f"{os.major(device)}:{os.minor(device)}"


def _views(region: SlotRegion) -> Iterator[str]:
    """Yield the numbers of all block devices through which a byte of ``region`` can be reached."""
    number = _device(region.path)
    if number is None:
        for loop, start, length in _loops(region.path):
            shifted = SlotRegion(path=loop, offset=region.offset - start, length=region.length)
            if shifted.offset < (length or shifted.offset + 1) and shifted.offset + shifted.length > 0:
                yield from _views(shifted)
        return
    yield number
    yield from _holders(number)
    if (_SYS / number / "partition").exists():
        yield (_SYS / number / ".." / "dev").read_text().strip()
    for part, start, length in _partitions(number):
        if region.offset < start + length and start < region.offset + region.length:
            yield part
            yield from _holders(part)


def _partitions(number: str | None) -> Iterator[tuple[str, int, int]]:
    """Yield number, start and length of a disk's partitions as the kernel knows them."""
    for entry in (_SYS / number).glob("*/partition") if number else ():
        folder = entry.parent
        start, size = (int((folder / name).read_text()) * _SECTOR for name in ("start", "size"))
        yield (folder / "dev").read_text().strip(), start, size


def _holders(number: str) -> Iterator[str]:
    """Yield what is stacked on a device, device-mapper and RAID, to the top."""
    for holder in (_SYS / number / "holders").glob("*/dev"):
        above = holder.read_text().strip()
        yield above
        yield from _holders(above)


def _loops(path: Path) -> Iterator[tuple[Path, int, int]]:
    """Yield device, start and length (0: to the end) of the loop devices over a file."""
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        folder = backing.parent
        try:
            file = Path(backing.read_text().rstrip("\n"))
            start, length = (int((folder / name).read_text()) for name in ("offset", "sizelimit"))
        except OSError:
            continue  # detached while we looked, so not mounted either
        if _same(file, path):
            yield Path("/dev", folder.parent.name), start, length


def _mounts() -> dict[str, str]:
    """Return mount points and swap areas by device number.

    File systems such as btrfs mount under a number of their own, hence the look at the source's name as well
    (proc(5): fields 3, 5 and, behind the dash, the source).
    """
    found: dict[str, str] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        front, _, back = line.partition(" - ")
        fields = front.split(" ")
        point = fields[4].replace("\\040", " ")
        found.setdefault(fields[2], point)
        source = _device(Path(back.split(" ")[1].replace("\\040", " ")))
        if source is not None:
            found.setdefault(source, point)
    for line in Path("/proc/swaps").read_text().splitlines()[1:]:
        swap = _device(Path(line.split()[0]))
        if swap is not None:
            found.setdefault(swap, "swap")
    return found
