"""What the flasher contract is tested on: one bench for each implementation and way of use.

A bench brings images of every kind and a flasher that takes them. Add another implementation to ``BENCHES``; the
contract in ``tests/contract/test_flasher.py`` then runs on it unchanged.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy.local.release_server import ReleaseServer
from deploy.local.simulated import SimulatedMachine
from deploy.local.simulated.flasher import SimulatedFlasher
from node_executor.flash.flasher import SlotFlasher
from node_executor.flash.region import SlotRegion
from node_executor.ports import Flasher
from shared.images import Image
from shared.slots import Slot
from tests.support.flash_disk import FAST, MIB, FlashDisk, image, loop_device, need_root, publish


class FlasherBench(Protocol):
    """A flasher whose slot A runs and whose slot B is free, with images to flash."""

    def flasher(self) -> Flasher:
        """Return a flasher as a newly started process would build it, on the same slots."""
        ...

    def good(self) -> Image:
        """Return an image of more than 2 MiB that is really there."""
        ...

    def other(self) -> Image:
        """Return another good image, of the same size."""
        ...

    def wrong_digest(self) -> Image:
        """Return an order whose sha256 is not that of the bytes at its source."""
        ...

    def wrong_size(self) -> Image:
        """Return an order that names one byte more than there are at its source."""
        ...

    def too_large(self) -> Image:
        """Return an image that is there, and longer than the slot."""
        ...

    def unreachable(self) -> Image:
        """Return an image whose source does not answer."""
        ...

    def mountable(self, slot: Slot) -> bool:
        """Whether ``slot`` begins like a file system."""
        ...


@dataclass
class RealBench:
    """The real flasher on an image file or a device, with sources below ``address``."""

    folder: Path
    address: str
    nowhere: str
    regions: Mapping[Slot, SlotRegion]

    def flasher(self) -> Flasher:
        """Return the real flasher."""
        return SlotFlasher(self.regions.__getitem__, lambda: Slot.A, FAST)

    def good(self) -> Image:
        """Publish once, and order."""
        return self._published("good")

    def other(self) -> Image:
        """Publish other bytes, and order them."""
        return self._published("other")

    def wrong_digest(self) -> Image:
        """Order the other image's digest from the good one's address."""
        return self.other().model_copy(update={"source": self.good().source})

    def wrong_size(self) -> Image:
        """Order a byte too many."""
        return self.good().model_copy(update={"size": 3 * MIB + 6})

    def too_large(self) -> Image:
        """Publish a byte more than the slot has."""
        return self._published("large", self.regions[Slot.B].length + 1)

    def unreachable(self) -> Image:
        """Order from a place where nothing is."""
        return self.good().model_copy(update={"source": self.nowhere})

    def mountable(self, slot: Slot) -> bool:
        """Whether the first MiB is anything but zeros."""
        with self.regions[slot].path.open("rb") as file:
            file.seek(self.regions[slot].offset)
            return any(file.read(MIB))

    def _published(self, name: str, size: int = 3 * MIB + 5) -> Image:
        path = self.folder / name
        if not path.exists():
            publish(self.folder, os.urandom(size), name)
        return image(f"{self.address}/{name}", path.read_bytes())


@contextmanager
def _http(folder: Path) -> Iterator[FlasherBench]:
    disk = FlashDisk(folder / "disk").create()
    (folder / "releases").mkdir()
    with ReleaseServer(folder / "releases") as server:
        regions = {slot: disk.region(slot) for slot in Slot}
        yield RealBench(folder / "releases", server.url, "http://releases.invalid/image", regions)


@contextmanager
def _file(folder: Path) -> Iterator[FlasherBench]:
    disk = FlashDisk(folder / "disk").create()
    regions = {slot: disk.region(slot) for slot in Slot}
    yield RealBench(folder, folder.as_uri(), (folder / "nowhere").as_uri(), regions)


@contextmanager
def _device(folder: Path) -> Iterator[FlasherBench]:
    need_root()
    disk = FlashDisk(folder / "disk").create()
    with loop_device(disk.path) as device:
        regions = {s: SlotRegion(path=device, offset=disk.region(s).offset, length=disk.length) for s in Slot}
        yield RealBench(folder, folder.as_uri(), (folder / "nowhere").as_uri(), regions)


@dataclass
class SimulatedBench:
    """The flasher of light nodes, with a source for each image but one."""

    machine: SimulatedMachine

    def flasher(self) -> Flasher:
        """Return a flasher on the same machine."""
        return SimulatedFlasher(self.machine)

    def good(self) -> Image:
        """Publish, and order."""
        return self._published("good", 3 * MIB + 5)

    def other(self) -> Image:
        """Publish other bytes, and order them."""
        return self._published("other", 3 * MIB + 5)

    def wrong_digest(self) -> Image:
        """Order the other image's digest from the good one's address."""
        return self.other().model_copy(update={"source": self.good().source})

    def wrong_size(self) -> Image:
        """Order a byte too many."""
        return self.good().model_copy(update={"size": 3 * MIB + 6})

    def too_large(self) -> Image:
        """Publish a byte more than the slot has."""
        return self._published("large", self.machine.slot_size + 1)

    def unreachable(self) -> Image:
        """Order what nobody published."""
        return self.good().model_copy(update={"source": "http://releases.invalid/image"})

    def mountable(self, slot: Slot) -> bool:
        """Whether the slot holds a whole system."""
        return self.machine.contents[slot] is not None

    def _published(self, name: str, size: int) -> Image:
        source, digest = f"http://releases.example/{name}", hashlib.sha256(name.encode()).hexdigest()
        self.machine.sources = {**(self.machine.sources or {}), source: (digest, size)}
        return Image(source=source, sha256=digest)


@contextmanager
def _simulated(folder: Path) -> Iterator[FlasherBench]:
    del folder
    yield SimulatedBench(SimulatedMachine())


#: Benches by the name that the test's id shows; each is given an empty folder.
BENCHES: dict[str, Callable[[Path], AbstractContextManager[FlasherBench]]] = {
    "http to an image file": _http,
    "file to an image file": _file,
    "file to a block device": _device,
    "simulated": _simulated,
}
