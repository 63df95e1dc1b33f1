"""The one worker: journals a phase, performs its effect, feeds the answer back into the machine.

Rules:
- The journal is durable before each side effect; if it cannot be, the effect waits.
- One update at a time. Bare rollbacks come first, then pending updates whose time has come, oldest first.
- Nothing here sleeps: ``advance`` does all that can be done now and says when to come back, so that a thread
  (``run``), a light node's scheduler and a test with its own clock drive the very same code.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

import structlog

from node_executor import admission, machine
from node_executor.effects import Effects, Result
from node_executor.hold import Hold, never
from node_executor.machine import Effect, Signal
from node_executor.records import Record
from node_executor.start import look_again, say_hello, taken_up
from node_executor.state import NodeState
from node_executor.waiting import Until, leave_to_switch, may_begin
from shared.errors import FleetError, NodeError, StateFileError
from shared.states import EventKind, OrderKind, Phase

log = structlog.get_logger(__name__)

#: Seconds after which a wait looks at the system clock again: it may have been set.
_LOOK_AGAIN = 60.0
#: Seconds until a state file that could not be written is tried again.
_STATE_RETRY = 10.0
#: Phases whose effect is tried again after an error that waiting can mend.
_PATIENT = (Phase.FETCHING, Phase.FLASHING, Phase.VERIFYING)
#: Effects that end early when the executor stops; the next start takes them up again.
_INTERRUPTIBLE = (Effect.PREPARE, Effect.FLASH, Effect.VERIFY, Effect.PROVE, Effect.CHECK_OLD)

#: What there is to do now; or the seconds to wait for more; or None: wait to be told.
Next = tuple[Record, Effect] | float | None


class Runner:
    """Works one node's updates. ``start`` once, then ``advance`` as often as it asks for; or ``run`` in a thread."""

    def __init__(self, state: NodeState, *, jitter: Callable[[], float] = random.random, hold: Hold = never) -> None:
        self._state = state
        self._effects = Effects(state)
        self._jitter = jitter  # a number in [0, 1), so that a fleet does not retry in step
        self._hold = hold
        self._todo: dict[str, Effect] = {}  # record id -> effect to perform next; not there: interrupted, take up
        self._rest_until = 0.0  # monotonic; the active record's effect is tried again then
        self._write_after = 0.0  # monotonic; a state file could not be written, or the boot state not be read
        self._reboot_by: float | None = None  # monotonic; a reboot that was asked for must have happened by then

    def run(self) -> None:
        """Work until ``state.stop()``: the body of the runner's thread."""
        self.start()
        state = self._state
        while True:
            rest = self.advance()
            with state.changed:
                if state.stopping:
                    return
                if not state.woken:
                    state.changed.wait(None if rest is None else min(rest, _LOOK_AGAIN))

    def start(self) -> None:
        """Say hello. What an earlier life left unfinished is taken up by the first ``advance``."""
        try:
            say_hello(self._state)
        except Exception:
            # A full disk, or a bug: neither must end the executor. On a slot on trial nobody else takes it back.
            log.exception("cannot say hello")

    def advance(self) -> float | None:
        """Do all that can be done now; return the seconds until there is more to do, or None: when told."""
        state = self._state
        while True:
            with state.changed:
                state.woken = False
                if state.stopping:
                    return None
                task = self._next_or_wait()
                if not isinstance(task, tuple):
                    return task
                state.interrupt.clear()
            self._work(*task)

    # --- what next; the lock is held ----------------------------------------------------------------------------

    def _next_or_wait(self) -> Next:
        now = self._state.clock.monotonic()
        if now < self._write_after:
            return self._write_after - now
        try:
            if self._state.trouble is not None and not look_again(self._state):
                self._write_after = now + _LOOK_AGAIN
                return _LOOK_AGAIN
            return self._next()
        except Exception:
            # No room in the state folder, the boot state cannot be read, or a bug: touch nothing, and let the API
            # live. A process that ends here would only be started again to end again.
            log.exception("cannot go on")
            self._write_after = now + _STATE_RETRY
            return _STATE_RETRY

    def _next(self) -> Next:
        records = self._state.journal.records
        for record in records:
            if record.phase.final and not record.settled:
                return record, Effect.FINISH
        active = self._state.active()
        if active is not None:
            return self._next_of(active)
        rest: Until = None
        now = self._state.clock.now()
        for record in sorted(records, key=lambda r: r.kind is OrderKind.UPDATE):
            if record.phase is Phase.PENDING:
                begin, until = may_begin(record, now)
                if begin:
                    return self._begin(record)
                rest = min((i for i in (rest, until) if i), default=None)
        return self._seconds_to(rest)

    def _begin(self, record: Record) -> Next:
        """Set a pending record going, or end it if it may not start any more."""
        state = self._state
        try:
            admission.check_not_expired(record.id, record.expires_at, state.clock.now())
            if record.target_slot is None:
                running, version = state.ports.host.running_slot(), state.ports.host.version()
                record = record.evolve(source_slot=running, target_slot=running.other(), source_version=version)
            return self._move(record, machine.opening(record))
        except StateFileError:
            raise
        except FleetError as error:
            return self._move(record, Signal.FAILURE, _blame(error))

    def _next_of(self, record: Record) -> Next:
        """Return what the active record needs."""
        now = self._state.clock.monotonic()
        effect = self._todo.get(record.id)
        if effect is None:
            return self._due(*self._move(record, *taken_up(self._state, record)))
        if record.cancelling and machine.cancellable(record):
            return self._move(record, Signal.CANCEL)
        if self._reboot_by is not None:
            if now < self._reboot_by:
                return self._reboot_by - now
            limit = self._state.config.reboot_timeout
            return self._move(
                record, Signal.FAILURE, _blame(NodeError(f"cannot reboot: still the same boot after {limit:.0f} s"))
            )
        if now < self._rest_until:
            return self._rest_until - now
        return self._due(record, effect)

    def _due(self, record: Record, effect: Effect) -> Next:
        if effect is not Effect.AWAIT_LEAVE:
            return record, effect
        leave, until = leave_to_switch(record, self._state.clock.now())
        return self._move(record, Signal.LEAVE) if leave else self._seconds_to(until)

    def _seconds_to(self, instant: Until) -> float | None:
        return None if instant is None else max((instant - self._state.clock.now()).total_seconds(), 0.001)

    # --- doing it; the lock is free -----------------------------------------------------------------------------

    def _work(self, record: Record, effect: Effect) -> None:
        log.info("effect", effect=effect, schedule_id=record.id, phase=record.phase, order_id=record.order_id)
        try:
            self._hold(f"{effect}.before")
            result = self._effects.perform(effect, record)
            self._hold(f"{effect}.after")
        except StateFileError:
            log.exception("cannot make state durable", schedule_id=record.id, effect=effect)
            self._write_after = self._state.clock.monotonic() + _STATE_RETRY
            return
        except FleetError as error:
            result = self._failed(record, error)
        except Exception as error:  # a bug ends the update, not the executor
            log.exception("effect met a bug", effect=effect, schedule_id=record.id)
            result = Result(
                Signal.FAILURE, _blame(FleetError(f"unexpected {type(error).__name__} in {effect}: {error}"))
            )
        with self._state.changed:
            try:
                self._answer(self._state.journal.current(record.id), effect, result)
            except Exception:
                # Above all no room for the journal: the effect is performed again later. Each may be repeated.
                log.exception("cannot take an answer in", schedule_id=record.id, effect=effect)
                self._write_after = self._state.clock.monotonic() + _STATE_RETRY

    def _failed(self, record: Record, error: FleetError) -> Result:
        """Return what an error means: try again later, or final."""
        config, tries = self._state.config, record.transport_attempts + 1
        log.warning("effect failed", schedule_id=record.id, kind=error.kind, error=error.message, tries=tries)
        if not (error.retriable and record.phase in _PATIENT and tries < config.transport_tries):
            return Result(Signal.FAILURE, _blame(error))
        pause = min(config.backoff_first * 2 ** (tries - 1), config.backoff_max) * (0.5 + self._jitter() / 2)
        self._rest_until = self._state.clock.monotonic() + pause
        return Result(None, {"transport_attempts": tries, "reason": f"try {tries}: {error.message}"})

    def _answer(self, record: Record, effect: Effect, result: Result) -> None:
        """Bring an effect's answer into the machine; the lock is held."""
        state = self._state
        if effect is Effect.FINISH:
            self._settle(record, result)
        elif machine.effective(record, Signal.DONE) is not Signal.DONE:
            self._move(record, Signal.DONE)
        elif state.stopping and effect in _INTERRUPTIBLE:
            return
        elif result.signal is not None:
            self._move(record, result.signal, result.learnt)
        elif result.learnt:
            state.journal.write(record.evolve(**result.learnt))
        else:
            self._reboot_by = state.clock.monotonic() + state.config.reboot_timeout

    def _settle(self, record: Record, result: Result) -> None:
        settled = record.evolve(**{**result.learnt, "settled": True})
        if result.signal is not None:  # it failed half-way; that must neither hide the outcome nor repeat for ever
            settled = record.evolve(settled=True, reason=f"{record.reason}; {result.learnt['reason']}")
            self._state.emit(EventKind.OUTCOME, settled)
        self._state.journal.write(settled)
        self._todo.pop(record.id, None)

    def _move(
        self, record: Record, signal: Signal, learnt: Mapping[str, object] | None = None
    ) -> tuple[Record, Effect]:
        """Make the next phase durable and report it; return the effect that is due; the lock is held."""
        state = self._state
        step = machine.decide(record, signal)
        if machine.effective(record, signal) is signal:  # else something more urgent has overtaken it
            record = record.evolve(**(learnt or {}))
        changed = machine.moved(record, step, state.clock.now(), state.ports.host.boot_id())
        state.journal.write(changed)
        self._todo[record.id] = step.effect
        self._rest_until, self._reboot_by = 0.0, None
        if step.phase is not record.phase and not step.phase.final:
            state.emit(EventKind.PHASE, changed)
        return changed, step.effect


def _blame(error: FleetError) -> dict[str, object]:
    return {"error_kind": error.kind, "reason": error.message}
