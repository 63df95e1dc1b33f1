"""The node's effects, as protocols. Each promises its own errors; implementations wrap whatever they meet.

Real implementations live in ``boot/``, ``flash/``, ``health/``, ``hooks.py`` and ``host.py``; the fakes that pass the
same contract tests live in ``tests/fakes/``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Protocol

from shared.images import Image
from shared.messages import HealthPolicy, HealthReport
from shared.slots import MAX_TRIES, Slot, SlotStatus

#: Called with bytes done and bytes in all (None: not known yet).
Progress = Callable[[int, int | None], None]


class Host(Protocol):
    """The machine that runs us: facts that firmware and kernel decided."""

    def running_slot(self) -> Slot:
        """Return the slot that the root file system is mounted from.

        Raises:
            BootloaderError: the running root is none of the two slots.
        """
        ...

    def boot_id(self) -> str:
        """Return an id that changes at every boot, and only then."""
        ...

    def uptime(self) -> float:
        """Return the seconds since boot."""
        ...

    def version(self) -> str:
        """Return the running system's VERSION_ID from os-release, or "" if it has none."""
        ...

    def architecture(self) -> str:
        """Return the machine type as ``uname -m`` prints it."""
        ...


class BootControl(Protocol):
    """The boot attributes of both slots. Every change is one atomic flip, read back before the call returns."""

    def status(self) -> Mapping[Slot, SlotStatus]:
        """Return both slots' attributes.

        Raises:
            BootloaderError: no valid partition table, or a slot's partition is missing.
        """
        ...

    def arm(self, slot: Slot, *, tries: int = MAX_TRIES) -> None:
        """Make ``slot`` the one to boot next, unproven, with ``tries`` boots; the other stays as fallback.

        Raises:
            BootloaderError: the table could not be changed; the old choice still stands.
        """
        ...

    def mark_good(self, slot: Slot) -> None:
        """Make ``slot`` the one to boot, proven, and the other its fallback if that one is proven too.

        Raises:
            BootloaderError: the table could not be changed.
        """
        ...

    def retire(self, slot: Slot) -> None:
        """Make ``slot`` not bootable and the other, which must be proven, the one to boot.

        Used before the slot is overwritten, and to switch back.

        Raises:
            BootloaderError: the other slot is not proven, or the table could not be changed.
        """
        ...

    def repair(self) -> bool:
        """Bring a stale or damaged second copy of the table back in line; True if anything was written.

        Raises:
            BootloaderError: neither copy is valid.
        """
        ...


class Flasher(Protocol):
    """Brings an image into a slot. Each call may be repeated after a crash."""

    def probe(self, image: Image, slot: Slot, cancelled: threading.Event) -> int:
        """Ask the source, and return the image's size in bytes; nothing is written.

        Raises:
            TransportError: source not reachable (retriable).
            ImageError: size differs from the order, or does not fit the slot.
            SlotError: the slot is in use or not there.
        """
        ...

    def flash(self, image: Image, slot: Slot, progress: Progress, cancelled: threading.Event) -> None:
        """Stream the image into the slot; its first MiB is wiped first and written last.

        Returns early, the slot unmountable, when ``cancelled`` is set.

        Raises:
            TransportError: the source failed for longer than the retries last (retriable).
            ImageError: wrong digest or size.
            SlotError: the slot is in use, full, or gone.
        """
        ...

    def verify(self, image: Image, slot: Slot, progress: Progress, cancelled: threading.Event) -> None:
        """Read the slot back past the page cache where possible, and compare with the image's digest.

        Raises:
            ReadBackError: other bytes than were written.
            SlotError: the slot cannot be read.
        """
        ...


class HealthProbe(Protocol):
    """Asks all configured health checks."""

    def run(
        self, policy: HealthPolicy, cancelled: threading.Event, on_round: Callable[[HealthReport], None] | None = None
    ) -> HealthReport:
        """Ask in rounds until healthy or degraded, out of retries, or out of time; never raises for a bad check."""
        ...

    def once(self) -> HealthReport:
        """Ask every check one time."""
        ...


class HookRunner(Protocol):
    """Runs the hooks that an order names."""

    def run(self, name: str, environment: Mapping[str, str]) -> None:
        """Run the executable ``name`` of the hook folder; "" does nothing.

        Raises:
            HookError: not there, not safe to run, non-zero exit, or too slow; the message holds its last output.
        """
        ...


class Rebooter(Protocol):
    """Ends this boot."""

    def reboot(self, reason: str) -> None:
        """Ask for a reboot and return; the process will be ended soon.

        Raises:
            NodeError: the system refuses to reboot.
        """
        ...
