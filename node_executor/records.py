"""What the node remembers: one record per update or rollback, one per order, all values frozen.

Records are JSON on disk: fields are only ever added, each with a default; nothing is renamed.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import AwareDatetime

from shared.images import Image
from shared.messages import HealthReport, Model, Schedule, Text, UpdateSpec
from shared.slots import Slot
from shared.states import CancelAnswer, OrderKind, Phase, RollbackType

#: Characters of a reason that are kept; below the limit of ``Text``, or the journal could not be read back.
MAX_REASON = 2000


class Record(Model):
    """One update (or one bare rollback) on this node, from acceptance to its end.

    Three counters are never mixed: ``transport_attempts``, ``install_attempts`` and ``boots``.
    """

    id: str  #: sched-YYYYMMDD-NNN
    kind: Literal[OrderKind.UPDATE, OrderKind.ROLLBACK] = OrderKind.UPDATE
    phase: Phase = Phase.PENDING
    update: UpdateSpec | None = None  #: for a rollback: the update that is undone, if this node knows it
    order_id: str = ""  #: "" for a schedule made on the node itself
    rollout_id: str = ""
    key: str = ""  #: idempotency key of a schedule made on the node itself
    created_at: AwareDatetime
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None  #: not to be started after this instant

    size: int = 0  #: bytes of the image as its source announced them; 0: not known
    source_slot: Slot | None = None  #: the proven slot it started from, and falls back to
    target_slot: Slot | None = None  #: the slot it installs, or for a rollback: leaves
    source_version: str = ""
    boot_id: str = ""  #: the boot in which the present phase was last worked on

    moves: int = 0  #: steps of the machine so far, restarts while staged left out
    transport_attempts: int = 0  #: tries in this phase that the source or the network spoilt
    install_attempts: int = 0  #: times the slot was begun to be written
    boots: int = 0  #: boots of the unproven slot; counted before the reboot

    granted: bool = False  #: leave to switch was given
    cancelling: bool = False  #: a cancel was answered with "stopped"
    rolling: bool = False  #: somebody asked to roll back
    error_kind: str = ""
    reason: Text = ""  #: why it ended as it did, or why it is on its way back
    rollback_type: RollbackType = RollbackType.AUTOMATIC
    health: HealthReport | None = None  #: the answer that decided
    settled: bool = False  #: final, cleaned up, and reported

    @property
    def version(self) -> str:
        """The version that the update installs, or "" if nothing names it."""
        return self.update.image.version if self.update else ""

    @property
    def image(self) -> Image | None:
        """The image to install, with the size that its source announced if the order names none."""
        image = self.update.image if self.update else None
        if image is None or image.size is not None or not self.size:
            return image
        return image.model_copy(update={"size": self.size})

    def evolve(self, **changes: Any) -> Self:  # noqa: ANN401 - any field's value
        """Return a copy with ``changes``; an over-long reason (a hook's output) is cut."""
        if "reason" in changes:
            changes["reason"] = changes["reason"][:MAX_REASON]
        return self.model_copy(update=changes)

    def as_schedule(self, node_id: str) -> Schedule:
        """Return what users see of this record."""
        return Schedule(
            id=self.id,
            state=self.phase.schedule_state,
            phase=self.phase,
            update=self.update,
            node_id=node_id,
            order_id=self.order_id,
            rollout_id=self.rollout_id,
            created_at=self.created_at,
            started_at=self.started_at,
            finished_at=self.finished_at,
            error_kind=self.error_kind,
            reason=self.reason,
            origin="fleet" if self.order_id else "node",
        )


class KnownOrder(Model):
    """What became of one order: enough to answer when it comes again."""

    id: str
    seq: int
    kind: OrderKind
    rollout_id: str = ""
    schedule_id: str = ""  #: the record that it made or means
    cancel_answer: CancelAnswer | None = None
    error_kind: str = ""  #: set: the order was refused
    reason: Text = ""
