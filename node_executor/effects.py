"""What entering each step of the machine does. Effects go through the ports; each may be repeated after a crash.

An effect returns the signal it leads to and what it learnt for the record. It raises ``FleetError`` when it failed;
the runner decides whether that is final. It never moves the machine itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from node_executor import admission
from node_executor.finish import finish, hook_environment
from node_executor.machine import Effect, Signal
from node_executor.records import Record
from node_executor.state import NodeState
from shared.errors import BootloaderError, ConflictError
from shared.images import Image
from shared.messages import HealthPolicy, HealthReport, UpdateSpec
from shared.slots import Slot
from shared.states import EventKind, Verdict

log = structlog.get_logger(__name__)

#: Verdicts with which an update counts as proven (requirement H4: only critical checks roll back).
GOOD_VERDICTS = (Verdict.HEALTHY, Verdict.DEGRADED)


@dataclass(frozen=True)
class Result:
    """What an effect came to."""

    signal: Signal | None  #: None: nothing follows until something outside happens (a reboot, a window)
    learnt: Mapping[str, object] = field(default_factory=dict)  #: changes to the record


class Effects:
    """Performs effects on the ports of one node."""

    def __init__(self, state: NodeState) -> None:
        self._state = state
        self._ports = state.ports
        self._hooked: set[str] = set()  # pre-update hooks run in this life: a retry of the source repeats none
        self._hooked_after: dict[str, list[str]] = {}  # likewise post-update hooks: see finish
        self._table: dict[Effect, Callable[[Record], Result]] = {
            Effect.PREPARE: self._prepare,
            Effect.FLASH: self._flash,
            Effect.VERIFY: self._verify,
            Effect.ARM: self._arm,
            Effect.REBOOT: self._reboot,
            Effect.PROVE: self._prove,
            Effect.MARK_GOOD: self._mark_good,
            Effect.GO_BACK: self._go_back,
            Effect.CHECK_OLD: self._check_old,
            Effect.FINISH: self._finish,
        }

    def perform(self, effect: Effect, record: Record) -> Result:
        """Perform ``effect`` for ``record``.

        Raises:
            FleetError: it failed.
        """
        return self._table[effect](record)

    def _prepare(self, record: Record) -> Result:
        update, image, target = _update(record), _image(record), _target(record)
        with self._state.changed:
            admission.check_update(self._state, update)
        admission.check_ground(self._state)
        if record.id not in self._hooked:
            self._ports.hooks.run(update.pre_update_hook, hook_environment(self._state, record))
            self._hooked.add(record.id)
        size = self._ports.flasher.probe(image, target, self._state.interrupt)
        return Result(Signal.DONE, {"size": size})

    def _flash(self, record: Record) -> Result:
        image, target = _image(record), _target(record)
        admission.check_ground(self._state)
        # From here until it is armed, the slot cannot be booted: half of an image must never be.
        self._ports.boot.retire(target)
        self._ports.flasher.flash(image, target, _progress("flashing", record), self._state.interrupt)
        return Result(Signal.DONE)

    def _verify(self, record: Record) -> Result:
        image, target = _image(record), _target(record)
        self._ports.flasher.verify(image, target, _progress("verifying", record), self._state.interrupt)
        return Result(Signal.DONE)

    def _arm(self, record: Record) -> Result:
        target = _target(record)
        admission.check_ground(self._state)
        with self._state.changed:
            # Counted before the flip: a boot that dies anywhere is already in the count.
            self._state.book.count_boot(record.boots, target.other(), self._state.clock.now())
        self._ports.boot.arm(target)
        return Result(Signal.DONE)

    def _reboot(self, record: Record) -> Result:
        self._ports.rebooter.reboot(f"update {record.id} to {record.version or 'a new image'}")
        return Result(None)

    def _prove(self, record: Record) -> Result:
        update, target = _update(record), _target(record)
        with self._state.changed:
            self._state.book.count_boot(record.boots, target.other())
        version = self._ports.host.version()
        if record.version and version != record.version:
            reason = f"slot {target} runs version {version or 'unknown'}, the order names {record.version}"
            return self._unhealthy(update, "wrong_version", reason, None)
        report = self._ask(update.health, record)
        if report.verdict in GOOD_VERDICTS:
            return Result(Signal.HEALTHY, {"health": report})
        return self._unhealthy(update, "unhealthy", failed_checks(report), report)

    @staticmethod
    def _unhealthy(update: UpdateSpec, kind: str, reason: str, report: HealthReport | None) -> Result:
        signal = Signal.UNHEALTHY if update.auto_rollback else Signal.TOLERATED
        return Result(signal, {"error_kind": kind, "reason": reason, "health": report})

    def _mark_good(self, record: Record) -> Result:
        self._ports.boot.mark_good(_target(record))
        with self._state.changed:
            self._state.book.clear()
            self._state.book.lift(_update(record).image)
        return Result(Signal.DONE)

    def _go_back(self, record: Record) -> Result:
        target = _target(record)
        self._retire(target)
        if self._ports.host.running_slot() is not target:
            return Result(Signal.RETURNED)
        self._ports.rebooter.reboot(f"roll back to slot {target.other()}: {record.reason}")
        return Result(None)

    def _retire(self, target: Slot) -> None:
        """Retire the slot that is left. That it could not be cross-checked is no reason to stay in it."""
        try:
            self._ports.boot.retire(target)
        except BootloaderError:
            now = self._ports.boot.status()
            if now[target].bootable or now[target].flagged or not now[target.other()].bootable:
                raise
            log.exception("slot retired, but not confirmed", slot=target)

    def _check_old(self, record: Record) -> Result:
        # For the record only. Whatever it says, the node stays here: see the machine's rules.
        policy = record.update.health if record.update else HealthPolicy()
        report = self._ask(policy, record)
        if report.verdict in GOOD_VERDICTS:
            return Result(Signal.DONE)
        also = f"; slot {_target(record).other()} is not well either: {failed_checks(report)}"
        return Result(Signal.DONE, {"reason": record.reason + also})

    def _finish(self, record: Record) -> Result:
        return Result(None, finish(self._state, record, self._hooked_after))

    def _ask(self, policy: HealthPolicy, record: Record) -> HealthReport:
        report = self._ports.health.run(policy, self._state.interrupt)
        if not self._state.interrupt.is_set():
            self._state.emit(EventKind.HEALTH, record, health=report)
        return report


def failed_checks(report: HealthReport) -> str:
    """Return which critical checks did not pass, and what they said."""
    failed = [c for c in report.checks if c.critical and c.verdict not in GOOD_VERDICTS]
    if not failed:
        return f"health is {report.verdict}"
    return "; ".join(f"check {c.name} is {c.verdict}: {c.message}" if c.message else f"check {c.name}" for c in failed)


def _update(record: Record) -> UpdateSpec:
    if record.update is None:
        raise ConflictError(f"cannot go on with {record.id}: it carries no update")
    return record.update


def _image(record: Record) -> Image:
    return record.image or _update(record).image


def _target(record: Record) -> Slot:
    if record.target_slot is None:
        raise BootloaderError(f"cannot go on with {record.id}: it names no slot")
    return record.target_slot


def _progress(doing: str, record: Record) -> Callable[[int, int | None], None]:
    def tell(done: int, total: int | None) -> None:
        log.debug("progress", doing=doing, schedule_id=record.id, done=done, total=total)

    return tell
