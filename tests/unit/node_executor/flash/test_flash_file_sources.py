"""What a file:// source may be: a file or a block device, and nothing that would keep the node waiting for ever."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import SourceRefusedError
from shared.slots import Slot
from tests.support.flash_disk import FlashDisk, image


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(os.mkfifo, id="pipe-without-a-writer"),
        pytest.param(os.mkdir, id="folder"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), id="endless-device"),
    ],
)
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "image")
    disk = FlashDisk(tmp_path / "disk").create()
    wanted = image(f"file://{tmp_path}/image", b"what it should hold")
    refusals: list[Exception] = []

    def probe() -> None:
        try:
            disk.flasher().probe(wanted, Slot.B, threading.Event())
        except SourceRefusedError as error:
            refusals.append(error)

    asking = threading.Thread(target=probe, daemon=True)
    asking.start()
    asking.join(20)

    assert not asking.is_alive()
    assert [str(error) for error in refusals] == [
        f"cannot fetch file://{tmp_path}/image: it is neither a file nor a block device"
    ]
