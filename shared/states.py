"""The states that both sides store, send and show. String enums: names are stored, never ordinals."""

from __future__ import annotations

from enum import StrEnum


class ScheduleState(StrEnum):
    """What a user sees of one update on one node (requirement S2)."""

    PENDING = "Pending"  #: accepted; not started
    IN_PROGRESS = "InProgress"  #: the node works on it; see Phase
    COMPLETED = "Completed"  #: booted the expected slot, new boot id, healthy
    FAILED = "Failed"  #: ended without switching, or unhealthy with auto-rollback off
    ROLLED_BACK = "RolledBack"  #: switched, and back in the old slot
    CANCELLED = "Cancelled"  #: withdrawn before the switch

    @property
    def final(self) -> bool:
        """Whether nothing more happens to a schedule in this state."""
        return self not in (ScheduleState.PENDING, ScheduleState.IN_PROGRESS)


class Phase(StrEnum):
    """Where inside an update a node stands; the states of the node's transition table."""

    PENDING = "pending"  #: journaled; waits for its time, its window or its turn
    FETCHING = "fetching"  #: pre-update hook, then the source is probed: reachable, right size, fits
    FLASHING = "flashing"  #: the image is streamed into the inactive slot, its first MiB held back
    VERIFYING = "verifying"  #: the slot is read back and compared, then counts as whole
    STAGED = "staged"  #: written and verified; waits for leave to switch
    ARMING = "arming"  #: the attempt is counted; the boot attributes are being flipped
    TRIAL = "trial"  #: flipped; waits for the reboot to come up in the new slot
    PROVING = "proving"  #: runs from the new slot; health decides
    ROLLING_BACK = "rolling_back"  #: on the way back to the old slot, or checking it after the return
    COMPLETED = "completed"  #: final: proven and marked good
    FAILED = "failed"  #: final: not switched, or unhealthy with auto-rollback off
    ROLLED_BACK = "rolled_back"  #: final: back in the old slot
    CANCELLED = "cancelled"  #: final: withdrawn before the switch

    @property
    def final(self) -> bool:
        """Whether the machine stands still in this phase."""
        return self in (Phase.COMPLETED, Phase.FAILED, Phase.ROLLED_BACK, Phase.CANCELLED)

    @property
    def schedule_state(self) -> ScheduleState:
        """The state that users are shown for this phase."""
        return _SHOWN.get(self, ScheduleState.IN_PROGRESS)


_SHOWN = {
    Phase.PENDING: ScheduleState.PENDING,
    Phase.COMPLETED: ScheduleState.COMPLETED,
    Phase.FAILED: ScheduleState.FAILED,
    Phase.ROLLED_BACK: ScheduleState.ROLLED_BACK,
    Phase.CANCELLED: ScheduleState.CANCELLED,
}


class Verdict(StrEnum):
    """The answer of one health check, or of all of them together."""

    HEALTHY = "healthy"  #: everything passed
    DEGRADED = "degraded"  #: only non-critical checks failed
    UNHEALTHY = "unhealthy"  #: a critical check failed
    UNDECIDED = "undecided"  #: the check could not find out


class RollbackType(StrEnum):
    """Who asked for a rollback (requirement R5)."""

    AUTOMATIC = "Automatic"  #: the node's own health checks or boot-loop guard
    MANUAL = "Manual"  #: a person or a program through the API


class CancelAnswer(StrEnum):
    """What became of a request to cancel."""

    STOPPED = "stopped"  #: it will not switch
    TOO_LATE = "too_late"  #: already armed, booting or ended
    UNKNOWN = "unknown"  #: this node knows no such order


class TargetState(StrEnum):
    """One node's turn in a rollout. Every target ends in exactly one final state."""

    WAITING = "waiting"  #: its wave is not open yet, or no permit is free
    ORDERED = "ordered"  #: the order is in the database, and on its way
    ACCEPTED = "accepted"  #: the node has journaled it and works on it; see its phase
    SUCCEEDED = "succeeded"  #: final: runs the new version, healthy
    ALREADY_THERE = "already_there"  #: final: ran this version before its turn came
    FAILED = "failed"  #: final: stays on the old version, or unhealthy on the new one
    ROLLED_BACK = "rolled_back"  #: final: switched and came back
    REFUSED = "refused"  #: final: the node did not take the order, or the image
    CANCELLED = "cancelled"  #: final: withdrawn before the node switched
    UNKNOWN = "unknown"  #: missed its deadline; a late report can correct it

    @property
    def final(self) -> bool:
        """Whether the target's turn is over (UNKNOWN is, though a late report may correct it)."""
        return self not in (TargetState.WAITING, TargetState.ORDERED, TargetState.ACCEPTED)

    @property
    def good(self) -> bool:
        """Whether the node runs what the rollout wants."""
        return self in (TargetState.SUCCEEDED, TargetState.ALREADY_THERE)

    @property
    def bad(self) -> bool:
        """Whether the turn counts against the failure threshold; silence and refusals do."""
        return self in (TargetState.FAILED, TargetState.ROLLED_BACK, TargetState.REFUSED, TargetState.UNKNOWN)


class WaveState(StrEnum):
    """One cohort of a rollout."""

    WAITING = "waiting"  #: its gate has not opened
    OPEN = "open"  #: orders go out to its nodes
    SOAKING = "soaking"  #: all its nodes are final; waiting to see whether they stay well
    DONE = "done"  #: soaked; the next wave may ask its gate
    HALTED = "halted"  #: the rollout was halted or aborted while this wave was not done


class RolloutState(StrEnum):
    """A rollout as a whole."""

    SCHEDULED = "scheduled"  #: created; starts at its time or window
    RUNNING = "running"  #: waves open as gates allow
    PAUSED = "paused"  #: stopped by a person; resumable
    HALTED = "halted"  #: stopped by its failure threshold; resumable by a person
    SUCCEEDED = "succeeded"  #: final: every wave done, within the threshold
    ABORTED = "aborted"  #: final: stopped for good by a person
    ROLLED_BACK = "rolled_back"  #: final: undone by a linked rollout

    @property
    def final(self) -> bool:
        """Whether the rollout can never move again."""
        return self in (RolloutState.SUCCEEDED, RolloutState.ABORTED, RolloutState.ROLLED_BACK)


class OrderKind(StrEnum):
    """What a controller can ask of a node."""

    UPDATE = "update"  #: install an image
    CANCEL = "cancel"  #: withdraw an update that has not switched
    GRANT = "grant"  #: leave for a staged update to switch
    ROLLBACK = "rollback"  #: go back to the other slot


class EventKind(StrEnum):
    """What a node can tell the controller."""

    HELLO = "hello"  #: the executor started: slot, version, boot id
    ACCEPTED = "accepted"  #: the order is durable on the node
    REFUSED = "refused"  #: the order will not be carried out, and why
    PHASE = "phase"  #: the update entered a phase
    OUTCOME = "outcome"  #: the update reached a final state
    CANCEL_ANSWER = "cancel_answer"  #: what became of a cancel order
    ROLLBACK = "rollback"  #: an entry for the rollback history
    HEALTH = "health"  #: a health report
