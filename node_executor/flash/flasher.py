"""The flasher that real nodes use: the port's three calls over source, pump and slot.

The slot that runs is protected four times over: by its name, by comparing both regions, by the mount table, and by
claiming the partition while it is written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from node_executor.flash.causes import slot_error
from node_executor.flash.digest import Digest
from node_executor.flash.fetch import Bounds, FileSource, Source
from node_executor.flash.fetch_http import HttpSource
from node_executor.flash.pump import Pump, aside
from node_executor.flash.region import SlotRegion, narrowed, user_of
from node_executor.flash.settings import FlashSettings
from node_executor.flash.target import SlotTarget
from node_executor.flash.verify import verify
from node_executor.flash.write import SlotWriter
from node_executor.ports import Progress
from shared.errors import SizeMismatchError, SlotInUseError
from shared.images import Image
from shared.slots import Slot


class SlotFlasher:
    """Implements ``node_executor.ports.Flasher`` on block devices and image files."""

    def __init__(
        self,
        locate: Callable[[Slot], SlotRegion],
        running_slot: Callable[[], Slot],
        settings: FlashSettings | None = None,
    ) -> None:
        """Take ``locate``, which says where a slot lies (its FleetErrors pass), and ``running_slot``."""
        self._locate = locate
        self._running_slot = running_slot
        self._settings = settings or FlashSettings()
        self._written: dict[Slot, tuple[str, int]] = {}  # digest and size of what this process has flashed

    def probe(self, image: Image, slot: Slot, cancelled: threading.Event) -> int:
        """Ask the source; return the image's size, or 0 if neither order nor source tell, or when cancelled."""
        region = self._writable(slot)
        with SlotTarget(region, slot, writable=True):
            pass
        source = self._source(image, region.length)
        return aside(source.probe, source, cancelled) or image.size or 0

    def flash(self, image: Image, slot: Slot, progress: Progress, cancelled: threading.Event) -> None:
        """Stream the image into the slot; anew each time, resuming dropped connections within one call."""
        region = self._writable(slot)
        source = self._source(image, region.length)
        self._written.pop(slot, None)
        with SlotTarget(region, slot, writable=True) as target, Digest() as digest:
            writer = SlotWriter(target, image, digest)
            writer.wipe()
            if cancelled.is_set():
                return
            with Pump(source) as pump:
                for block in pump.blocks(cancelled):
                    writer.add(block)
                    progress(writer.done, source.total)
            if cancelled.is_set():
                return
            writer.finish()
        self._written[slot] = (image.sha256, writer.done)

    def verify(self, image: Image, slot: Slot, progress: Progress, cancelled: threading.Event) -> None:
        """Read the slot back; an unknown size is asked of the last flash, then of the source.

        Raises:
            ReadBackError, SlotError: as the port says.
            TransportError, ImageError: the size is known to nobody, or only to a source that cannot be reached.
        """
        region = narrowed(self._locate(slot))
        size = image.size or self._size(image, slot, region, cancelled)
        if not cancelled.is_set():
            with SlotTarget(region, slot, writable=False) as target:
                verify(target, image.sha256, size, progress, cancelled)

    def _size(self, image: Image, slot: Slot, region: SlotRegion, cancelled: threading.Event) -> int:
        digest, size = self._written.get(slot, ("", 0))
        if digest == image.sha256:
            return size
        source = self._source(image, region.length)
        asked = aside(source.probe, source, cancelled)
        if asked is None and not cancelled.is_set():
            message = f"cannot verify slot {slot}: neither the order nor the source says how many bytes the image has"
            raise SizeMismatchError(message, cure="state the size in the order, or flash again")
        return asked or 0

    def _writable(self, slot: Slot) -> SlotRegion:
        """Return where ``slot`` lies, as narrow as the kernel knows it.

        Raises:
            SlotInUseError: it runs, is mounted, or shares bytes with the slot that runs.
        """
        running = self._running_slot()
        if slot is running:
            message = f"cannot flash slot {slot}: it is the running slot"
            raise SlotInUseError(message, cure=f"flash slot {slot.other()}, or boot it first")
        region, other = self._locate(slot), self._locate(running)
        if region.overlaps(other):
            message = f"cannot flash slot {slot}: it shares bytes of {region.path} with the running slot {running}"
            raise SlotInUseError(message, cure="repair the partition table")
        with slot_error("examine", slot, str(region.path)):
            user = user_of(region)
            if user is not None:
                raise SlotInUseError(f"cannot flash slot {slot}: {region.path} is {user}", cure="unmount the slot")
            return narrowed(region)

    def _source(self, image: Image, limit: int) -> Source:
        bounds = Bounds(size=image.size, limit=limit)
        if image.source.startswith("file:"):
            return FileSource(image.source, bounds)
        return HttpSource(image.source, bounds, self._settings)
