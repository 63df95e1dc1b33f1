"""A whole machine in memory: two slots, firmware, health, hooks, and a power cord that can be pulled anywhere.

It implements every port of ``node_executor.ports`` and passes the same contract tests as the real ones. Light nodes
run on it by the hundred; unit and fault tests script its failures::

    machine = SimulatedMachine()                        # runs 1.0.0 from slot A, proven; slot B is empty
    machine.failures["flash"] = [SourceUnreachableError()]   # the next flash fails, the one after works
    machine.unhealthy["2.0.0"] = "service"              # version 2.0.0 boots, but its service check fails
    machine.dead.add("3.0.0")                           # version 3.0.0 never gets as far as the executor
    machine.cuts = [17]                                 # the power goes at the 17th point from now

Points are the moments at which a power cut can be told from another: before and after each effect, and each write of a
state file. ``PowerCut`` is no ``Exception``: nothing but the test can catch it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from shared.errors import FleetError
from shared.slots import MAX_TRIES, Slot, SlotStatus


class PowerCut(BaseException):
    """The machine has lost its power."""


class NothingBootableError(Exception):
    """Firmware finds no slot to start: the machine would be a brick."""


def proven(slot: Slot, priority: int) -> SlotStatus:
    """Return the attributes of a proven slot; priority 2 boots first."""
    return SlotStatus(slot=slot, flagged=priority > 1, priority=priority, tries=0, successful=True)


def retired(slot: Slot) -> SlotStatus:
    """Return the attributes of a slot that is never booted."""
    return SlotStatus(slot=slot, flagged=False, priority=0, tries=0, successful=False)


@dataclass
class SimulatedMachine:
    """The machine's durable parts, its present boot, and the script of what goes wrong."""

    version: str = "1.0.0"
    machine: str = "x86_64"
    slots: dict[Slot, SlotStatus] = field(default_factory=lambda: {Slot.A: proven(Slot.A, 2), Slot.B: retired(Slot.B)})
    contents: dict[Slot, str | None] = field(default_factory=dict)  #: version in each slot; None: nothing whole
    digests: dict[Slot, str] = field(default_factory=dict)  #: sha256 of what was flashed whole
    sources: dict[str, tuple[str, int]] | None = None  #: URL -> sha256 and size; None: whatever is ordered is there
    slot_size: int = 1 << 30  #: bytes
    failures: dict[str, list[FleetError]] = field(default_factory=dict)  #: effect -> errors, one a call
    unhealthy: dict[str, str] = field(default_factory=dict)  #: version -> the critical check that fails
    dead: set[str] = field(default_factory=set)  #: versions that boot but never start the executor
    during: dict[str, Callable[[], object]] = field(default_factory=dict)  #: effect -> called in its middle
    panics: set[str] = field(default_factory=set)  #: versions that die while health is asked
    counts_tries: bool = True  #: False: firmware that ignores the tries, as plain gptmbr does
    hook_environments: list[dict[str, str]] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)  #: points until the power goes; after that until it goes again, ...
    watch: Callable[[str], object] | None = None  #: called with each effect's name as it begins
    calls: list[str] = field(default_factory=list)  #: effects, in order
    points: int = 0
    boots: int = 0
    failed_boots: int = 0
    running: Slot = Slot.A
    reboot_requested: str = ""  #: why; "" while nobody asked

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
        self.reboot_requested = ""
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
        if not best.successful and self.counts_tries:
            self.slots[best.slot] = replace(best, tries=best.tries - 1)
        for status in list(self.slots.values()):
            if status.priority > best.priority:  # its boots are used up: firmware forgets it
                self.slots[status.slot] = retired(status.slot)
                self.slots[best.slot] = replace(self.slots[best.slot], flagged=True)
        return best.slot

    def point(self) -> None:
        """Pass one moment at which the power may go."""
        self.points += 1
        if self.cuts:
            self.cuts[0] -= 1
            if self.cuts[0] < 0:
                self.cuts.pop(0)
                raise PowerCut

    @contextmanager
    def effect(self, name: str) -> Iterator[None]:
        """Frame one effect: points before and after, its scripted failure, its call in the middle."""
        self.point()
        self.calls.append(name)
        if self.watch is not None:
            self.watch(name)
        if name == "health" and self.contents[self.running] in self.panics:
            raise PowerCut
        errors = self.failures.get(name)
        if errors:
            raise errors.pop(0)
        called = self.during.pop(name, None)
        if called is not None:
            called()
        yield
        self.point()

    @property
    def good(self) -> list[Slot]:
        """The slots that would boot and are proven."""
        return [slot for slot, status in sorted(self.slots.items()) if status.successful and status.bootable]
