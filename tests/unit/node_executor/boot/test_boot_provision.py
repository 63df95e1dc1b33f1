"""Laying out disks, and the disks that must be left alone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.local import firmware
from node_executor.boot.control import GptBootControl
from node_executor.boot.geometry import slot_region
from node_executor.boot.provision import MIB, provision_disk
from shared.errors import BootloaderError, ConflictError, FleetError, InputError
from shared.slots import Slot
from tests.support.gpt_disks import provisioned_file


def lay_out(path: Path, *, force: bool = False) -> None:
    provision_disk(path, slot_size=2 * MIB, boot_size=MIB, data_size=3 * MIB, force=force)


def test_a_new_image_file_gets_four_partitions_and_slot_a_proven(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"

    lay_out(path)

    seen = json.loads(subprocess.check_output(["/usr/sbin/sfdisk", "--json", path]))["partitiontable"]
    assert [(one["name"], one["size"] * 512 // MIB) for one in seen["partitions"]] == [
        ("matic-boot", 1),
        ("matic-a", 2),
        ("matic-b", 2),
        ("matic-data", 3),
    ]
    assert seen["firstlba"] == 66
    assert GptBootControl(path).status()[Slot.A].successful
    assert firmware.boot(path).slot == "A"


def test_the_data_partition_takes_what_is_left(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"

    provision_disk(path, size=32 * MIB, slot_size=2 * MIB, boot_size=MIB)

    region = slot_region(path, Slot.B)
    end_of_b = region.offset + region.length
    last = json.loads(subprocess.check_output(["/usr/sbin/sfdisk", "--json", path]))["partitiontable"]["partitions"][3]
    assert path.stat().st_size == 32 * MIB
    assert last["start"] * 512 == end_of_b
    assert last["size"] * 512 > 25 * MIB


def partitioned(path: Path) -> str:
    provisioned_file(path.parent)
    return "gpt"


def swap(path: Path) -> str:
    path.write_bytes(bytes(16 * MIB))
    subprocess.run(["/usr/sbin/mkswap", path], check=True, capture_output=True)
    return "swap"


def somebodys_file(path: Path) -> str:
    path.write_bytes(b"dear diary".ljust(16 * MIB, b"\0"))
    return "data"


@pytest.mark.parametrize("make", [partitioned, swap, somebodys_file])
def test_a_disk_that_carries_something_is_left_alone_unless_forced(make: Callable[[Path], str], tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    carries = make(path)
    before = path.read_bytes()
    path.write_bytes(before.ljust(16 * MIB, b"\0"))

    with pytest.raises(ConflictError, match=f"it carries .*{carries}") as caught:
        lay_out(path)
    untouched = path.read_bytes() == before.ljust(16 * MIB, b"\0")
    lay_out(path, force=True)

    assert untouched
    assert "--force" in caught.value.cure
    assert GptBootControl(path).status()[Slot.A].flagged


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        pytest.param({"slot_size": 0}, InputError, "slot size 0 is not a positive", id="no slot"),
        pytest.param({"slot_size": 1000}, InputError, "slot size 1000", id="not whole MiB"),
        pytest.param({"slot_size": MIB, "data_size": -MIB}, InputError, "data size", id="negative data"),
        pytest.param({"slot_size": 9 * MIB, "size": 16 * MIB}, InputError, "the layout needs", id="too small"),
    ],
)
def test_sizes_that_cannot_be_are_refused_before_anything_is_made(
    options: dict[str, Any], error: type[FleetError], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "disk.img"

    with pytest.raises(error, match=says) as caught:
        provision_disk(path, **options)

    assert caught.value.cure
    assert not path.exists()


def test_an_existing_disk_that_is_too_small_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(4 * MIB))

    with pytest.raises(InputError, match="4194304 bytes are not enough"):
        lay_out(path)

    assert path.read_bytes() == bytes(4 * MIB)


def test_a_folder_is_not_a_disk(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a block device nor a file"):
        lay_out(tmp_path)


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(BootloaderError, match=r"cannot make image file .*: No such file"):
        lay_out(tmp_path / "missing" / "disk.img")
