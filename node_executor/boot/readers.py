"""Independent readers of the partition table, to check what was written with other people's parsers.

Both tools exit 0 on a damaged table, using the other copy, so their complaints are read as well. sgdisk only sleeps
when it writes; a look costs 2 ms with sgdisk and 12 ms with sfdisk.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from node_executor.boot.tools import run_tool
from shared.errors import BootloaderError
from shared.slots import Slot

#: From a disk to the 64-bit attribute fields of its slots.
Reader = Callable[[Path], Mapping[Slot, int]]

_SFDISK_NAMES = {"RequiredPartition": 0, "NoBlockIOProtocol": 1, "LegacyBIOSBootable": 2}
_DAMAGE = re.compile(r".*(?:corrupt|mismatch!|: ERROR|don't match|invalid backup|invalid main).*", re.IGNORECASE)


def read_with_sfdisk(disk: Path) -> Mapping[Slot, int]:
    """Return the slots' attribute fields as sfdisk sees them.

    Raises:
        BootloaderError: sfdisk is missing, fails, or finds damage.
    """
    table = json.loads(_run("sfdisk", "--json", disk))["partitiontable"]
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
        text = _run("sgdisk", f"--info={slot.partition_number}", disk)
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


def _run(tool: str, option: str, disk: Path) -> str:
    said = run_tool(tool, option, str(disk), purpose=f"check {disk}")
    if damage := _DAMAGE.search(said.stderr):
        cure = "restart the executor, which repairs a damaged copy from the valid one"
        raise BootloaderError(f"cannot trust {disk}: {tool} says: {damage[0].strip()}", cure=cure)
    return said.stdout
