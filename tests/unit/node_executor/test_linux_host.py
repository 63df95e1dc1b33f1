"""Facts of the boot, from a real node's /proc and /sys laid out in a folder, and from a virtual node's boot file."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from node_executor.boot.disk import open_disk
from node_executor.boot.gpt import read_gpt
from node_executor.host import BootFileHost, LinuxHost
from shared.errors import BootloaderError, StateFileError
from shared.slots import Slot
from tests.support.gpt_disks import provisioned_file

DISK = Path("/dev/vda")
RAM_DISK = "1 0 0:2 / / rw - rootfs rootfs rw\n"


def machine(root: Path, *, mounted: str = RAM_DISK, command_line: str = "quiet", release: str = "") -> LinuxHost:
    """Lay out /proc, /sys and /etc of a machine whose disk vda has partitions 1 to 4."""
    files = {
        "proc/self/mountinfo": mounted,
        "proc/cmdline": command_line,
        "proc/uptime": "12.34 20.00\n",
        "proc/sys/kernel/random/boot_id": "6a1c35cf-8f0c-4f6a-a0a8-3a3a4ac0b1d3\n",
        "etc/os-release": release,
    }
    files |= {f"sys/devices/pci/block/vda/vda{number}/partition": f"{number}\n" for number in range(1, 5)}
    files["sys/devices/pci/block/sdb/sdb2/partition"] = "2\n"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    links = {f"254:{number}": root / f"sys/devices/pci/block/vda/vda{number}" for number in range(1, 5)}
    verity = root / "sys/devices/virtual/block/dm-0"
    (verity / "slaves").mkdir(parents=True)
    (verity / "slaves/vda3").symlink_to(root / "sys/devices/pci/block/vda/vda3")
    links |= {"8:18": root / "sys/devices/pci/block/sdb/sdb2", "253:0": verity}
    (root / "sys/dev/block").mkdir(parents=True)
    for name, target in links.items():
        (root / "sys/dev/block" / name).symlink_to(target)
    return LinuxHost(DISK, root=root)


@pytest.mark.parametrize(
    ("number", "slot"),
    [
        pytest.param("254:2", Slot.A, id="partition 2"),
        pytest.param("254:3", Slot.B, id="partition 3"),
        pytest.param("253:0", Slot.B, id="verity over partition 3"),
    ],
)
def test_the_mounted_root_tells_the_running_slot(number: str, slot: Slot, tmp_path: Path) -> None:
    mounted = f"{RAM_DISK}22 1 {number} / / ro - squashfs /dev/root ro\n23 22 254:4 / /var rw - ext4 /dev/vda4 rw\n"

    host = machine(tmp_path, mounted=mounted, command_line="matic.slot=A root=/dev/vda2")

    assert host.running_slot() is slot


@pytest.mark.parametrize(
    ("command_line", "slot"),
    [
        pytest.param("quiet matic.slot=B", Slot.B, id="our own word"),
        pytest.param("root=/dev/vda3 ro", Slot.B, id="device"),
        pytest.param("root=/dev/vdap2", Slot.A, id="device with p"),
        pytest.param("matic.slot=A root=/dev/vda3", Slot.A, id="our own word first"),
    ],
)
def test_the_command_line_tells_where_the_root_hides_it(command_line: str, slot: Slot, tmp_path: Path) -> None:
    host = machine(tmp_path, command_line=command_line)

    assert host.running_slot() is slot


def test_a_partition_id_on_the_command_line_is_looked_up_on_the_disk(tmp_path: Path) -> None:
    disk = provisioned_file(tmp_path)
    with open_disk(disk, writable=False) as opened:
        identity = read_gpt(opened).current.partitions()[3].unique_guid
    machine(tmp_path / "root", command_line=f"root=PARTUUID={str(identity).upper()} ro")

    slot = LinuxHost(disk, root=tmp_path / "root").running_slot()

    assert slot is Slot.B


@pytest.mark.parametrize(
    ("mounted", "command_line"),
    [
        pytest.param("22 1 8:18 / / ro - squashfs /dev/sdb2 ro\n", "root=/dev/sdb2", id="slot number of another disk"),
        pytest.param("22 1 254:4 / / rw - ext4 /dev/vda4 rw\n", "root=/dev/vda4", id="data partition"),
        pytest.param(RAM_DISK, "matic.slot=C", id="no such slot"),
    ],
)
def test_a_root_outside_the_slots_is_an_error(mounted: str, command_line: str, tmp_path: Path) -> None:
    host = machine(tmp_path, mounted=mounted, command_line=command_line)

    with pytest.raises(BootloaderError, match="cannot find the running slot") as caught:
        host.running_slot()

    assert "matic.slot" in caught.value.cure


def test_boot_id_and_uptime_come_from_the_kernel(tmp_path: Path) -> None:
    host = machine(tmp_path)

    assert host.boot_id() == "6a1c35cf-8f0c-4f6a-a0a8-3a3a4ac0b1d3"
    assert host.uptime() == 12.34
    assert host.architecture() == os.uname().machine


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ('NAME="MaticOS"\nVERSION_ID="2.1.0"\n', "2.1.0"),
        ("VERSION_ID=12\n", "12"),
        ("VERSION_ID='3 beta'\n", "3 beta"),
        ("NAME=x\n", ""),
    ],
    ids=["double quotes", "bare", "single quotes", "none"],
)
def test_the_version_is_read_as_os_release_writes_it(release: str, version: str, tmp_path: Path) -> None:
    host = machine(tmp_path, release=release)

    assert host.version() == version


def test_a_machine_without_proc_says_so(tmp_path: Path) -> None:
    with pytest.raises(BootloaderError, match=r"cannot read .*boot_id") as caught:
        LinuxHost(DISK, root=tmp_path).boot_id()

    assert caught.value.cure == "mount /proc and /sys"


def test_this_very_machine_has_a_boot_id_and_an_uptime() -> None:
    host = LinuxHost(DISK)

    assert len(host.boot_id()) == 36
    assert host.uptime() > 0


def test_a_boot_file_tells_everything_of_a_virtual_node(tmp_path: Path) -> None:
    facts = {"slot": "B", "boot_id": "b-1", "version": "2.0.0", "architecture": "x86_64"}
    path = tmp_path / "boot.json"
    path.write_text(json.dumps({**facts, "booted_at": time.monotonic() - 100}))

    host = BootFileHost(path)

    assert (host.running_slot(), host.boot_id(), host.version()) == (Slot.B, "b-1", "2.0.0")
    assert host.architecture() == "x86_64"
    assert 100 <= host.uptime() < 160


@pytest.mark.parametrize("content", [None, "{", '{"slot": "C"}'], ids=["missing", "no JSON", "no such slot"])
def test_a_boot_file_that_cannot_be_used_is_named(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "boot.json"
    if content is not None:
        path.write_text(content)

    with pytest.raises(StateFileError, match=r"cannot read boot file .*boot\.json") as caught:
        BootFileHost(path)

    assert "supervisor" in caught.value.cure
