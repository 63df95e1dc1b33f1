"""Independent readers of the partition table, to check what was written with other people's parsers.

Both tools exit 0 on a damaged table, using the other copy, so their complaints are read as well. sgdisk only sleeps
when it writes; a look costs 2 ms with sgdisk and 12 ms with sfdisk.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

from shared.errors import BootloaderError
from shared.slots import Slot

#: From a disk to the 64-bit attribute fields of its slots.
Reader = Callable[[Path], Mapping[Slot, int]]

_TIMEOUT = 30.0  # seconds; a disk that hangs for longer is broken
_SFDISK_NAMES = {"RequiredPartition": 0, "NoBlockIOProtocol": 1, "LegacyBIOSBootable": 2}
_DAMAGE = re.compile(r".*(?:corrupt|mismatch!|: ERROR|don't match|invalid backup|invalid main).*", re.IGNORECASE)


def read_with_sfdisk(disk: Path) -> Mapping[Slot, int]:
    """Return the slots' attribute fields as sfdisk sees them.

    Raises:
        BootloaderError: sfdisk is missing, fails, or finds damage.
    """
    table = json.loads(_run("sfdisk", "--json", str(disk)))["partitiontable"]
    found = {}
    for partition in table.get("partitions", []):
        number = int(partition["node"].removeprefix(table["device"]).lstrip("p"))
        found[number] = _attributes(partition.get("attrs", ""))
    return _slots(found, "sfdisk", disk)


def read_with_sgdisk(disk: Path) -> Mapping[Slot, int]:
    """Return the slots' attribute fields as sgdisk sees them.

    Raises:
        BootloaderError: sgdisk is missing, fails, or finds damage.
    """
    found = {}
    for slot in Slot:
        text = _run("sgdisk", f"--info={slot.partition_number}", str(disk))
        if match := re.search(r"^Attribute flags: ([0-9A-F]{16})$", text, re.MULTILINE):
            found[slot.partition_number] = int(match[1], 16)
    return _slots(found, "sgdisk", disk)


READERS: tuple[Reader, ...] = (read_with_sfdisk, read_with_sgdisk)


def _attributes(text: str) -> int:
    """Decode sfdisk's words: ``RequiredPartition LegacyBIOSBootable GUID:48,56``."""
    bits = [
        bit
        for word in text.split()
        for bit in (map(int, word[5:].split(",")) if word.startswith("GUID:") else [_SFDISK_NAMES[word]])
    ]
    return sum(1 << bit for bit in bits)


def _slots(found: Mapping[int, int], tool: str, disk: Path) -> Mapping[Slot, int]:
    missing = [str(slot.partition_number) for slot in Slot if slot.partition_number not in found]
    if missing:
        raise BootloaderError(f"cannot check {disk}: {tool} sees no partition {' and no partition '.join(missing)}")
    return {slot: found[slot.partition_number] for slot in Slot}


def _run(*command: str) -> str:
    tool, disk = command[0], command[-1]
    # We hold the disk's lock already, and messages must be in the language that we look for.
    environment = {**os.environ, "LC_ALL": "C", "LOCK_BLOCK_DEVICE": "0"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_TIMEOUT, env=environment, errors="replace"
        )
    except FileNotFoundError as error:
        package = "fdisk" if tool == "sfdisk" else "gdisk"
        raise BootloaderError(f"cannot check {disk}: {tool} is not installed", cure=f"install {package}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BootloaderError(f"cannot check {disk}: {tool} failed: {error}") from error
    if done.returncode != 0:
        raise BootloaderError(f"cannot check {disk}: {tool} failed: {done.stderr.strip() or done.stdout.strip()}")
    if damage := _DAMAGE.search(done.stderr):
        cure = "restart the executor, which repairs a damaged copy from the valid one"
        raise BootloaderError(f"cannot trust {disk}: {tool} says: {damage[0].strip()}", cure=cure)
    return done.stdout
