"""Lay out a disk for A/B updates: 1 boot, 2 slot A, 3 slot B, 4 data, with room for a shadow entry array.

Works on a block device and on a plain image file, which needs no root. Never touches a disk that carries anything
recognisable unless told to, and never one that is in use. Slot A is marked good; what is in it is the caller's affair.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from node_executor.boot.choice import chosen, never
from node_executor.boot.control import GptBootControl
from node_executor.boot.disk import FILE_SECTOR_SIZE, open_disk
from node_executor.boot.readers import READERS
from node_executor.boot.tools import run_tool
from shared.errors import BootloaderError, ConflictError, InputError
from shared.slots import Slot

MIB = 1 << 20
_ARRAY_BYTES = 128 * 128  # what sgdisk creates: 128 entries of 128 bytes
_TAIL = MIB  # the backup table at the end, aligned
_TYPES = {"boot": "ef00", "linux": "8300"}  # sgdisk's codes: EFI system, Linux file system
_ATTRIBUTES = {Slot.A: chosen(Slot.A).attributes(), Slot.B: never(Slot.B).attributes()}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Sizes in bytes, each a multiple of 1 MiB.

    Raises:
        InputError: a size is zero, negative or not a multiple of 1 MiB.
    """

    slot_size: int
    boot_size: int = 32 * MIB
    data_size: int | None = None  #: None: all that is left

    def __post_init__(self) -> None:
        sizes = {"slot": self.slot_size, "boot": self.boot_size, "data": self.data_size}
        for name, size in sizes.items():
            if size is not None and (size <= 0 or size % MIB):
                cause = f"{name} size {size} is not a positive multiple of 1 MiB"
                raise InputError(f"cannot lay out disk: {cause}", cure="give sizes in whole MiB")

    def needed(self) -> int:
        """Return the least size of a disk for this layout."""
        return MIB + self.boot_size + 2 * self.slot_size + (self.data_size or MIB) + _TAIL


def provision_disk(  # noqa: PLR0913 - all but the disk are keywords, one for each option of the command
    path: Path,
    *,
    slot_size: int,
    size: int | None = None,
    data_size: int | None = None,
    boot_size: int = 32 * MIB,
    force: bool = False,
) -> None:
    """Lay out the block device or image file ``path``; slot A is the choice, proven, and slot B is empty.

    Args:
        path: the disk; an image file that does not exist is made, sparse.
        slot_size: bytes of each slot.
        size: bytes of an image file; default is what the layout needs, or the existing file's size.
        data_size: bytes of the data partition; None takes what is left.
        boot_size: bytes of the boot partition.
        force: lay out a disk that carries partitions or a file system; its content is lost.

    Raises:
        InputError: sizes are not valid or do not fit the disk, or ``size`` is given for a block device.
        ConflictError: the disk carries something and ``force`` is off, or it is in use.
        BootloaderError: the disk cannot be opened or written.
    """
    layout = Layout(slot_size=slot_size, boot_size=boot_size, data_size=data_size)
    sector_size = _prepare(path, layout, size, force=force)
    _run_sgdisk(path, layout, sector_size)
    _check(path)


def _prepare(path: Path, layout: Layout, size: int | None, *, force: bool) -> int:
    """Check everything, then empty the disk or make the image file; return the sector size."""
    is_device = path.is_block_device()
    if path.exists() and not is_device and not path.is_file():
        raise InputError(f"cannot lay out {path}: neither a block device nor a file", cure="name a disk like /dev/sda")
    if is_device and size is not None:
        raise InputError(f"cannot lay out {path}: a block device has its own size", cure="leave the size out")
    if is_device:
        _demand_unused(path)
    _demand_room(path, layout, size)
    carries = _found_on(path) if path.exists() else set()
    if carries and not force:
        cause = f"it carries {', '.join(sorted(carries))}"
        raise ConflictError(f"cannot lay out {path}: {cause}", cure="name another disk, or say --force to erase it")
    if carries:  # or sgdisk would keep what it can of a damaged table
        run_tool("wipefs", "--all", "--force", str(path), purpose=f"lay out {path}")
    if not is_device:
        _make_file(path, layout, size)
    with open_disk(path, writable=True) as disk:
        return disk.sector_size


def _demand_unused(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_EXCL))  # the kernel refuses when anything on the disk is mounted
    except OSError as error:
        cure = "unmount its partitions first; the disk that the node runs from cannot be laid out"
        raise ConflictError(f"cannot lay out {path}: {error.strerror}", cure=cure) from error


def _demand_room(path: Path, layout: Layout, size: int | None) -> None:
    have = size
    if size is None and path.exists():
        with open_disk(path, writable=False) as disk:
            have = disk.sectors * disk.sector_size
    if have and (have < layout.needed() or have % FILE_SECTOR_SIZE):
        cause = f"{have} bytes are not enough whole sectors: the layout needs {layout.needed()}"
        raise InputError(f"cannot lay out {path}: {cause}", cure="choose smaller slots or a larger disk")


def _found_on(path: Path) -> set[str]:
    said = run_tool("wipefs", "--noheadings", "--output=TYPE", str(path), purpose=f"lay out {path}").stdout
    found = set(said.split())
    if not found and path.is_file():
        with path.open("rb") as file:  # a mistyped name must not cost somebody a file
            return {"data"} if any(file.read(MIB)) else set()
    return found


def _make_file(path: Path, layout: Layout, size: int | None) -> None:
    try:
        path.touch()
        if size is not None or path.stat().st_size == 0:
            os.truncate(path, layout.needed() if size is None else size)
    except OSError as error:
        raise BootloaderError(f"cannot make image file {path}: {error.strerror}", cure="check the folder") from error


def _run_sgdisk(path: Path, layout: Layout, sector_size: int) -> None:
    shadow = 2 + _ARRAY_BYTES // sector_size
    sizes = [layout.boot_size, layout.slot_size, layout.slot_size, layout.data_size]
    names = [("matic-boot", "boot"), ("matic-a", "linux"), ("matic-b", "linux"), ("matic-data", "linux")]
    options = ["--clear", f"--move-main-table={shadow}", f"--set-alignment={MIB // sector_size}"]
    for number, (size, (name, kind)) in enumerate(zip(sizes, names, strict=True), start=1):
        end = "0" if size is None else f"+{size // MIB}M"
        options += [f"--new={number}:0:{end}", f"--typecode={number}:{_TYPES[kind]}", f"--change-name={number}:{name}"]
    options.append(f"--attributes={Slot.A.partition_number}:=:{_ATTRIBUTES[Slot.A]:016x}")
    run_tool("sgdisk", *options, str(path), purpose=f"lay out {path}")


def _check(path: Path) -> None:
    """See whether the disk is as it was asked for, by our own reader and by others'."""
    changed = GptBootControl(path).repair()  # refuses a disk without a shadow array
    if changed or any(reader(path) != _ATTRIBUTES for reader in READERS):
        cause = "what was written is not what is read back"
        raise BootloaderError(f"cannot lay out {path}: {cause}", cure="check the disk's health, or use another")
