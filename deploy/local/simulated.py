"""A whole machine in memory: two slots, firmware, health, hooks, and a power cord that can be pulled anywhere.

It implements every port of ``node_executor.ports`` and passes the same contract tests as the real ones. Light nodes
run on it by the hundred; unit and fault tests script its failures::

    machine = SimulatedMachine()                        # runs 1.0.0 from slot A, proven; slot B is empty
    machine.failures["flash"] = [SourceUnreachableError()]   # the next flash fails, the one after works
    machine.unhealthy["2.0.0"] = "service"              # version 2.0.0 boots, but its service check fails
    machine.dead.add("3.0.0")                           # version 3.0.0 never gets as far as the executor
    machine.cut_at = 17                                 # the power goes at the 17th point from now

Points are the moments at which a power cut can be told from another: before and after each effect, and each write of a
state file. ``PowerCut`` is no ``Exception``: nothing but the test can catch it.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from node_executor.ports import Progress
from shared.errors import BootloaderError, FleetError, SlotInUseError, StateFileError
from shared.images import Image
from shared.messages import CheckResult, HealthPolicy, HealthReport
from shared.slots import MAX_TRIES, Slot, SlotStatus
from shared.states import Verdict

_CHECKS = ("boot", "service", "network", "api")


class PowerCut(BaseException):  # noqa: N818 - not an error of anything: the power is gone
    """The machine has lost its power."""


class NothingBootableError(Exception):
    """Firmware finds no slot to start: the machine would be a brick."""


def _proven(slot: Slot, priority: int) -> SlotStatus:
    return SlotStatus(slot=slot, flagged=priority > 1, priority=priority, tries=0, successful=True)


def _retired(slot: Slot) -> SlotStatus:
    return SlotStatus(slot=slot, flagged=False, priority=0, tries=0, successful=False)


@dataclass
class SimulatedMachine:
    """The machine's durable parts, its present boot, and the script of what goes wrong."""

    version: str = "1.0.0"
    machine: str = "x86_64"
    slots: dict[Slot, SlotStatus] = field(
        default_factory=lambda: {Slot.A: _proven(Slot.A, 2), Slot.B: _retired(Slot.B)}
    )
    contents: dict[Slot, str | None] = field(default_factory=dict)  #: version in each slot; None: nothing whole
    failures: dict[str, list[FleetError]] = field(default_factory=dict)  #: effect -> errors, one a call
    unhealthy: dict[str, str] = field(default_factory=dict)  #: version -> the critical check that fails
    dead: set[str] = field(default_factory=set)  #: versions that boot but never start the executor
    missing_hooks: set[str] = field(default_factory=set)
    during: dict[str, Callable[[], None]] = field(default_factory=dict)  #: effect -> called in its middle
    cut_at: int | None = None  #: points until the power goes
    calls: list[str] = field(default_factory=list)  #: effects, in order
    points: int = 0
    boots: int = 0
    failed_boots: int = 0
    running: Slot = Slot.A
    reboot_requested: bool = False

    def __post_init__(self) -> None:
        """Fill slot A, and boot for the first time."""
        self.contents = {Slot.A: self.version, Slot.B: None, **self.contents}
        self.boot()

    # --- power and firmware -------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Do what firmware does: choose by the attributes, count the try; a dead system means another try.

        Raises:
            NothingBootableError: no slot is left.
        """
        self.reboot_requested = False
        for _ in range(2 * MAX_TRIES + 1):
            self.boots += 1
            chosen = self._choose()
            content = self.contents[chosen]
            if content is not None and content not in self.dead:
                self.running = chosen
                return
            self.failed_boots += 1
        raise NothingBootableError(f"no slot boots: {self.slots}")

    def _choose(self) -> Slot:
        startable = [s for s in self.slots.values() if s.bootable]
        if not startable:
            raise NothingBootableError(f"no slot is bootable: {self.slots}")
        best = max(startable, key=lambda s: s.priority)
        if not best.successful:
            self.slots[best.slot] = replace(best, tries=best.tries - 1)
        for status in list(self.slots.values()):
            if status.priority > best.priority:  # its boots are used up: firmware forgets it
                self.slots[status.slot] = _retired(status.slot)
                self.slots[best.slot] = replace(self.slots[best.slot], flagged=True)
        return best.slot

    def point(self) -> None:
        """Pass one moment at which the power may go."""
        self.points += 1
        if self.cut_at is not None:
            self.cut_at -= 1
            if self.cut_at < 0:
                self.cut_at = None
                raise PowerCut

    @contextmanager
    def effect(self, name: str) -> Iterator[None]:
        """Frame one effect: points before and after, its scripted failure, its call in the middle."""
        self.point()
        self.calls.append(name)
        errors = self.failures.get(name)
        if errors:
            raise errors.pop(0)
        called = self.during.pop(name, None)
        if called is not None:
            called()
        yield
        self.point()

    @property
    def proven(self) -> list[Slot]:
        """The slots that would boot and are proven."""
        return [slot for slot, status in self.slots.items() if status.successful and status.bootable]


class SimulatedHost:
    """``ports.Host``."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self._machine = machine

    def running_slot(self) -> Slot:
        """See the port."""
        return self._machine.running

    def boot_id(self) -> str:
        """See the port."""
        return f"boot-{self._machine.boots}"

    def uptime(self) -> float:
        """See the port."""
        return 60.0

    def version(self) -> str:
        """See the port."""
        return self._machine.contents[self._machine.running] or ""

    def architecture(self) -> str:
        """See the port."""
        return self._machine.machine


class SimulatedBootControl:
    """``ports.BootControl``: each change is one step, as the real flip is."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self._machine = machine

    def status(self) -> Mapping[Slot, SlotStatus]:
        """See the port."""
        return dict(self._machine.slots)

    def arm(self, slot: Slot, *, tries: int = MAX_TRIES) -> None:
        """See the port."""
        with self._machine.effect("arm"):
            self._need_proven(slot.other())
            armed = SlotStatus(slot=slot, flagged=True, priority=2, tries=tries, successful=False)
            self._machine.slots = {slot: armed, slot.other(): replace(_proven(slot.other(), 1), flagged=False)}

    def mark_good(self, slot: Slot) -> None:
        """See the port."""
        with self._machine.effect("mark_good"):
            other = self._machine.slots[slot.other()]
            kept = _proven(slot.other(), 1) if other.successful else _retired(slot.other())
            self._machine.slots = {slot: _proven(slot, 2), slot.other(): kept}

    def retire(self, slot: Slot) -> None:
        """See the port."""
        with self._machine.effect("retire"):
            self._need_proven(slot.other())
            self._machine.slots = {slot: _retired(slot), slot.other(): _proven(slot.other(), 2)}

    def repair(self) -> bool:
        """See the port."""
        return False

    def _need_proven(self, slot: Slot) -> None:
        if not self._machine.slots[slot].successful:
            raise BootloaderError(f"cannot change the boot order: slot {slot} is not proven")


class SimulatedFlasher:
    """``ports.Flasher``: what it writes is the image's version."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self._machine = machine

    def probe(self, image: Image, slot: Slot, cancelled: threading.Event) -> int:
        """See the port."""
        with self._machine.effect("probe"):
            return image.size or 1

    def flash(self, image: Image, slot: Slot, progress: Progress, cancelled: threading.Event) -> None:
        """See the port."""
        if slot is self._machine.running:
            raise SlotInUseError(f"cannot write slot {slot}: it is the running one")
        self._machine.contents[slot] = None
        with self._machine.effect("flash"):
            if cancelled.is_set():
                return
            progress(1, 1)
            self._machine.contents[slot] = image.version or image.sha256[:12]

    def verify(self, image: Image, slot: Slot, progress: Progress, cancelled: threading.Event) -> None:
        """See the port."""
        with self._machine.effect("verify"):
            progress(1, 1)


class SimulatedHealth:
    """``ports.HealthProbe``: the four built-in checks, of which the script may fail one."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self._machine = machine

    def run(
        self, policy: HealthPolicy, cancelled: threading.Event, on_round: Callable[[HealthReport], None] | None = None
    ) -> HealthReport:
        """See the port."""
        with self._machine.effect("health"):
            report = self.once()
            if on_round is not None:
                on_round(report)
            return report

    def once(self) -> HealthReport:
        """See the port."""
        failing = self._machine.unhealthy.get(self._machine.contents[self._machine.running] or "")
        checks = tuple(
            CheckResult(
                name=name,
                verdict=Verdict.UNHEALTHY if name == failing else Verdict.HEALTHY,
                critical=name != "network",
                message="scripted to fail" if name == failing else "OK",
            )
            for name in _CHECKS
        )
        bad = Verdict.DEGRADED if failing == "network" else Verdict.UNHEALTHY
        return HealthReport(verdict=bad if failing else Verdict.HEALTHY, checked_at=datetime.now(UTC), checks=checks)


class SimulatedHooks:
    """``ports.HookRunner``."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self._machine = machine

    def run(self, name: str, environment: Mapping[str, str]) -> None:
        """See the port."""
        if name:
            with self._machine.effect(f"hook:{name}"):
                pass


class SimulatedRebooter:
    """``ports.Rebooter``: whoever drives the machine looks at ``reboot_requested``."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self._machine = machine

    def reboot(self, reason: str) -> None:
        """See the port."""
        with self._machine.effect("reboot"):
            self._machine.reboot_requested = True


class MemoryFile:
    """``journal.Storage`` in memory; with a machine, each write has a point before and after."""

    def __init__(self, name: str, machine: SimulatedMachine | None = None) -> None:
        self._name = name
        self._machine = machine
        self._kept = itertools.count(1)
        self.content: bytes | None = None
        self.full = False  #: writes fail
        self.aside: list[bytes] = []

    def __str__(self) -> str:
        """Return the name, for messages."""
        return self._name

    def read(self) -> bytes | None:
        """See ``Storage``."""
        return self.content

    def write(self, content: bytes) -> None:
        """See ``Storage``."""
        if self.full:
            raise StateFileError(f"cannot write {self._name}: it is full")
        if self._machine is not None:
            self._machine.point()
        self.content = content
        if self._machine is not None:
            self._machine.point()

    def set_aside(self) -> str:
        """See ``Storage``."""
        self.aside.append(self.content or b"")
        self.content = None
        return f"{self._name}.unreadable-{next(self._kept)}"
