"""What the runner and the desk share: journal, rollback book, the lock round both, and the way to report."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from node_executor.clock import Clock
from node_executor.journal import Journal
from node_executor.ports import BootControl, Flasher, HealthProbe, HookRunner, Host, Rebooter
from node_executor.records import Record
from node_executor.rollback import RollbackBook
from shared.errors import BootloaderError, DiskFullError, FleetError, StateFileError
from shared.messages import Event, NodeFacts, new_id
from shared.slots import Slot
from shared.states import EventKind, Phase

#: Takes an event durably and never blocks on the network. Its ``seq`` is a placeholder: the outbox numbers events.
Report = Callable[[Event], None]


@dataclass(frozen=True, kw_only=True)
class Ports:
    """The node's effects; see ``node_executor.ports``."""

    host: Host
    boot: BootControl
    flasher: Flasher
    health: HealthProbe
    hooks: HookRunner
    rebooter: Rebooter


@dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """What the core needs to know of the settings."""

    node_id: str
    compatible: str = ""  #: this node's model; "" takes images for any
    agent_version: str = ""
    transport_tries: int = 12  #: tries in one phase until an unreachable source is final
    backoff_first: float = 1.0  #: seconds before the second try; doubles with each
    backoff_max: float = 60.0  #: seconds
    reboot_timeout: float = 600.0  #: seconds until a reboot that was asked for counts as refused


class NodeState:
    """The durable state of one node and its lock. Whoever reads or writes ``journal`` or ``book`` holds ``changed``."""

    def __init__(  # noqa: PLR0913 - the parts are independent; main.py alone builds it
        self, *, config: NodeConfig, ports: Ports, journal: Journal, book: RollbackBook, report: Report, clock: Clock
    ) -> None:
        self.config = config
        self.ports = ports
        self.journal = journal
        self.book = book
        self.clock = clock
        self.changed = threading.Condition(threading.RLock())
        self.interrupt = threading.Event()  #: ends a long effect early; why stands in the record, or in ``stopping``
        self.stopping = False
        self.woken = False  #: something changed since the runner last looked
        self.trouble: FleetError | None = None  #: why this node can do nothing at the moment
        self._report = report

    def wake(self) -> None:
        """Tell the runner to look again."""
        with self.changed:
            self.woken = True
            self.changed.notify_all()

    def stop(self) -> None:
        """End the runner; a long effect ends early and is taken up again at the next start."""
        with self.changed:
            self.stopping = True
            self.interrupt.set()
            self.wake()

    def active(self) -> Record | None:
        """Return the record that the machine is working on, or None."""
        going = (r for r in self.journal.records if r.phase is not Phase.PENDING and not r.phase.final)
        return next(going, None)

    def facts(self) -> NodeFacts:
        """Return what this node is at the moment.

        Raises:
            BootloaderError: it cannot be found out.
        """
        host = self.ports.host
        return NodeFacts(
            slot=host.running_slot(),
            version=host.version(),
            boot_id=host.boot_id(),
            agent_version=self.config.agent_version,
            architecture=host.architecture(),
            compatible=self.config.compatible,
            good_slots=self.good_slots(),
        )

    def good_slots(self) -> tuple[Slot, ...]:
        """Return the proven slots. Raises BootloaderError."""
        return tuple(slot for slot, status in sorted(self.ports.boot.status().items()) if status.successful)

    def emit(self, kind: EventKind, record: Record | None = None, **fields: object) -> None:
        """Report one event; what ``record`` says of itself is filled in.

        Raises:
            StateFileError: it could not be made durable.
        """
        about: dict[str, object] = {}
        if record is not None:
            about = {
                "order_id": record.order_id,
                "rollout_id": record.rollout_id,
                "schedule_id": record.id,
                "phase": record.phase,
                "state": record.phase.schedule_state,
                "error_kind": record.error_kind,
                "reason": record.reason,
            }
        known: dict[str, object] = {
            "id": new_id(),
            "kind": kind,
            "node_id": self.config.node_id,
            "seq": 1,
            "at": self.clock.now(),
        }
        try:
            self._report(Event.model_validate({**known, **about, **fields}))
        except DiskFullError as error:  # to the runner a full state folder is not a full slot
            raise StateFileError(error.message, cure=error.cure) from error

    def known_facts(self) -> NodeFacts | None:
        """Return the facts, or None while they cannot be found out: for reports that must go out anyway."""
        try:
            return self.facts()
        except BootloaderError:
            return None
