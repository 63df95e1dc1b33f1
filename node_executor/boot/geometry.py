"""Where a slot lies on its disk."""

from __future__ import annotations

from pathlib import Path

from node_executor.boot.disk import open_disk
from node_executor.boot.gpt import read_gpt
from node_executor.flash.region import SlotRegion
from shared.errors import BootloaderError, SlotVanishedError
from shared.slots import Slot


def slot_region(disk: Path, slot: Slot) -> SlotRegion:
    """Return where ``slot`` lies on the block device or image file ``disk``.

    Raises:
        SlotVanishedError: no such disk, no valid partition table, or no partition for the slot.
    """
    try:
        with open_disk(disk, writable=False) as opened:
            partition = read_gpt(opened).current.partitions().get(slot.partition_number)
            sector_size = opened.sector_size
    except BootloaderError as error:
        raise SlotVanishedError(f"cannot find slot {slot}: {error}", cure=error.cure) from error
    if partition is None:
        cure = "lay the disk out with `matic-agent provision-disk`"
        raise SlotVanishedError(f"cannot find slot {slot}: {disk} has no partition {slot.partition_number}", cure=cure)
    sectors = partition.last_lba - partition.first_lba + 1
    return SlotRegion(path=disk, offset=partition.first_lba * sector_size, length=sectors * sector_size)
