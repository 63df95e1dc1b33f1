"""Whatever the points at which connections break, the slot ends with the right bytes."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.slots import Slot
from tests.support.flash_disk import FlashDisk, image, publish
from tests.support.release_server import Fault, FaultyReleaseServer

LENGTH = 2_500_000
DATA = os.urandom(LENGTH)

FAULTS = st.builds(
    Fault,
    drop_after=st.one_of(st.integers(0, LENGTH), st.sampled_from([1, 512, 1 << 20, (1 << 20) + 1, LENGTH - 1])),
    reset=st.booleans(),
    ignore_range=st.booleans(),
    unsized=st.booleans(),
    piece=st.sampled_from([1000, 65536, 1 << 20]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(script=st.lists(FAULTS, max_size=6))
def test_any_sequence_of_drops_still_yields_the_right_bytes(script: list[Fault]) -> None:
    with tempfile.TemporaryDirectory() as folder, FaultyReleaseServer(Path(folder), script) as server:
        publish(Path(folder), DATA)
        disk = FlashDisk(Path(folder, "disk"), length=3 << 20, gap=4096)
        disk.settings = disk.settings.model_copy(update={"attempts": len(script) + 1})  # no drop may be one too many
        before = disk.create().outside()

        disk.flash(image(f"{server.url}/image.squashfs", DATA))

        assert disk.read(Slot.B, LENGTH) == DATA
        assert disk.outside() == before
