"""What only the boot control on a real disk has: locks, cross-checks and disks that are not there."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
from pathlib import Path

import pytest

from node_executor.boot.control import GptBootControl
from node_executor.boot.disk import open_disk
from node_executor.boot.readers import READERS, read_with_sfdisk, read_with_sgdisk
from node_executor.boot.tools import run_tool
from shared.errors import BootloaderError
from shared.slots import Slot
from tests.support.gpt_disks import ARRAY, SECTOR, provisioned_file


def flip_often(path: Path, slot: Slot, times: int) -> None:
    """Change the table again and again; run in processes of their own."""
    control = GptBootControl(path)
    for _ in range(times):
        control.mark_good(slot)  # both stay proven, so that no order of calls is refused
        control.mark_good(slot.other())


@pytest.mark.parametrize("reader", READERS)
def test_independent_readers_see_what_was_written(reader: object, tmp_path: Path) -> None:
    path = provisioned_file(tmp_path)
    assert callable(reader)

    GptBootControl(path, readers=()).arm(Slot.B)

    assert reader(path) == {Slot.A: 0x0101000000000000, Slot.B: 0x0032000000000004}


@pytest.mark.parametrize("reader", [read_with_sfdisk, read_with_sgdisk], ids=["sfdisk", "sgdisk"])
@pytest.mark.parametrize(
    "offset",
    [SECTOR + 40, (2 + ARRAY) * SECTOR + 300, -SECTOR + 40, -(1 + ARRAY) * SECTOR + 300],
    ids=["header", "entries", "backup header", "backup entries"],
)
def test_independent_readers_do_not_pass_over_damage(reader: object, offset: int, tmp_path: Path) -> None:
    path = provisioned_file(tmp_path)
    image = bytearray(path.read_bytes())
    image[offset] ^= 0xFF
    path.write_bytes(image)
    assert callable(reader)

    with pytest.raises(BootloaderError, match="cannot trust"):
        reader(path)


def test_a_reader_that_sees_other_attributes_is_an_error(tmp_path: Path) -> None:
    path = provisioned_file(tmp_path)
    control = GptBootControl(path, readers=[lambda _disk: {Slot.A: 4, Slot.B: 0}])

    with pytest.raises(BootloaderError, match="independent reader sees attributes A=0000000000000004") as caught:
        control.arm(Slot.B)

    assert "sgdisk --verify" in caught.value.cure


def test_a_reader_names_a_missing_slot(tmp_path: Path) -> None:
    path = provisioned_file(tmp_path)
    run_tool("sgdisk", "--delete=3", str(path), purpose="prepare the test")

    with pytest.raises(BootloaderError, match="sfdisk sees no partition 3"):
        read_with_sfdisk(path)
    with pytest.raises(BootloaderError, match="no partition 3 for slot B"):
        GptBootControl(path).status()


def test_a_tool_that_is_not_installed_is_named_with_its_cure() -> None:
    with pytest.raises(BootloaderError, match="cannot look: no-such-tool is not installed") as caught:
        run_tool("no-such-tool", purpose="look")

    assert "install" in caught.value.cure


def test_tools_are_found_without_the_system_folders_in_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = provisioned_file(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")

    GptBootControl(path).arm(Slot.B)

    assert GptBootControl(path).status()[Slot.B].flagged


def test_processes_that_change_the_table_at_once_take_turns(tmp_path: Path) -> None:
    path = provisioned_file(tmp_path)
    GptBootControl(path).arm(Slot.B)
    GptBootControl(path).mark_good(Slot.B)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=flip_often, args=(path, slot, 10)) for slot in Slot]

    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)

    status = GptBootControl(path).status()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert sum(one.flagged for one in status.values()) == 1
    assert not GptBootControl(path).repair()


def test_a_disk_that_stays_locked_is_an_error_after_the_timeout(tmp_path: Path) -> None:
    path = provisioned_file(tmp_path)
    holder = os.open(path, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)

    with (
        pytest.raises(BootloaderError, match="another process holds it") as caught,
        open_disk(path, writable=False, lock_timeout=0.05),
    ):
        pass
    os.close(holder)

    assert "fuser" in caught.value.cure


def test_readers_share_the_lock(tmp_path: Path) -> None:
    path = provisioned_file(tmp_path)

    with open_disk(path, writable=False), open_disk(path, writable=False, lock_timeout=0) as second:
        sectors = second.sectors

    assert sectors * SECTOR == path.stat().st_size


def test_a_disk_that_is_not_there_is_named(tmp_path: Path) -> None:
    control = GptBootControl(tmp_path / "sdz")

    with pytest.raises(BootloaderError, match=r"cannot open disk .*sdz: No such file") as caught:
        control.status()

    assert "setting `disk`" in caught.value.cure


def test_a_write_that_the_disk_refuses_is_an_error(tmp_path: Path) -> None:
    with (
        open_disk(provisioned_file(tmp_path), writable=False) as disk,
        pytest.raises(BootloaderError, match="cannot write sector 1"),
    ):
        disk.write(1, bytes(SECTOR))


@pytest.mark.parametrize("tries", [0, 16, -1])
def test_tries_that_do_not_fit_the_field_are_a_bug(tries: int, tmp_path: Path) -> None:
    control = GptBootControl(provisioned_file(tmp_path))

    with pytest.raises(ValueError, match="do not fit"):
        control.arm(Slot.B, tries=tries)
