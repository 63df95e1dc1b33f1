"""The flasher of a simulated machine: what it writes is an image's digest and version."""

from __future__ import annotations

import threading

from deploy.local.simulated.machine import SimulatedMachine
from node_executor.ports import Progress
from shared.errors import (
    DigestMismatchError,
    ImageTooLargeError,
    ReadBackError,
    SizeMismatchError,
    SlotInUseError,
    SourceUnreachableError,
)
from shared.images import Image
from shared.slots import Slot

#: Size of an image of which nobody says how large it is.
_SOME_SIZE = 64 << 20


class SimulatedFlasher:
    """``ports.Flasher``. Every order is believed, unless the machine lists its ``sources``."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self._machine = machine

    def probe(self, image: Image, slot: Slot, cancelled: threading.Event) -> int:
        """See the port."""
        del cancelled  # takes no time
        with self._machine.effect("probe"):
            return self._source(image, slot)[1]

    def flash(self, image: Image, slot: Slot, progress: Progress, cancelled: threading.Event) -> None:
        """See the port."""
        digest, size = self._source(image, slot)
        self._machine.contents[slot] = None
        self._machine.digests.pop(slot, None)
        with self._machine.effect("flash"):
            progress(size // 2, size)
            if cancelled.is_set():
                return
            progress(size, size)
            if digest != image.sha256:
                raise DigestMismatchError(f"cannot flash {image.source}: its digest is {digest[:12]}...")
            self._machine.digests[slot] = digest
            self._machine.contents[slot] = image.version or digest[:12]

    def verify(self, image: Image, slot: Slot, progress: Progress, cancelled: threading.Event) -> None:
        """See the port."""
        del cancelled  # takes no time
        with self._machine.effect("verify"):
            if self._machine.digests.get(slot) != image.sha256:
                raise ReadBackError(f"cannot trust slot {slot}: it holds other bytes", cure="flash again")
            size = image.size or self._source(image, slot)[1]
            progress(size // 2, size)
            progress(size, size)

    def _source(self, image: Image, slot: Slot) -> tuple[str, int]:
        """Return digest and size of what the source holds."""
        machine = self._machine
        if slot is machine.running:
            raise SlotInUseError(f"cannot flash slot {slot}: it is the running slot")
        if machine.sources is None:
            digest, size = image.sha256, image.size or _SOME_SIZE
        elif image.source in machine.sources:
            digest, size = machine.sources[image.source]
        else:
            raise SourceUnreachableError(f"cannot reach {image.source}", cure="look whether the source is up")
        if image.size not in (None, size):
            raise SizeMismatchError(f"cannot use {image.source}: it has {size} bytes, not {image.size}")
        if size > machine.slot_size:
            raise ImageTooLargeError(f"cannot use {image.source}: {size} bytes do not fit into {machine.slot_size}")
        return digest, size
