"""The real runner, desk, journal and rollback book on a simulated machine, driven step by step in one thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from deploy.local.simulated.files import MemoryFile
from deploy.local.simulated.machine import PowerCut, SimulatedMachine
from deploy.local.simulated.ports import simulated_ports
from node_executor.desk import Desk
from node_executor.journal import Journal
from node_executor.rollback import RollbackBook
from node_executor.runner import Runner
from node_executor.state import NodeConfig, NodeState
from shared.messages import Event

#: Steps after which a node that does not come to rest is taken for a bug.
_PATIENCE = 1000


@dataclass
class SimulatedClock:
    """A clock that stands still until it is moved."""

    instant: datetime = datetime(2026, 1, 27, 12, 0, tzinfo=UTC)
    seconds: float = 1000.0

    def now(self) -> datetime:
        """See ``Clock``."""
        return self.instant

    def monotonic(self) -> float:
        """See ``Clock``."""
        return self.seconds

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.instant += timedelta(seconds=seconds)
        self.seconds += seconds


@dataclass
class SimulatedNode:
    """One node under test: what survives a power cut is in the machine and in the two files."""

    machine: SimulatedMachine = field(default_factory=SimulatedMachine)
    clock: SimulatedClock = field(default_factory=SimulatedClock)
    config: NodeConfig = field(default_factory=lambda: NodeConfig(node_id="node-1"))
    events: list[Event] = field(default_factory=list)
    only_killed: bool = False  #: a cut ends the executor, not the machine: kill -9 instead of a power cut

    def __post_init__(self) -> None:
        """Start the executor for the first time."""
        self.journal_file = MemoryFile("update-schedule.json", self.machine)
        self.book_file = MemoryFile("rollback_state.json", self.machine)
        self.start_executor()

    def start_executor(self) -> None:
        """Start the executor, as after a kill or a boot; nothing is worked on before ``advance``."""
        self.state = NodeState(
            config=self.config,
            ports=simulated_ports(self.machine),
            journal=Journal(self.journal_file),
            book=RollbackBook(self.book_file),
            report=self.events.append,
            clock=self.clock,
        )
        self.desk = Desk(self.state)
        self.runner = Runner(self.state, jitter=lambda: 0.0)
        self.runner.start()

    def advance(self) -> float | None:
        """Let the executor do what it can now, through reboots and power cuts; return how long it wants to rest."""
        for _ in range(_PATIENCE):
            try:
                rest = self.runner.advance()
            except PowerCut:
                self.come_back()
                continue
            if not self.machine.reboot_requested:
                return rest
            self.power_cycle()
        raise AssertionError("the node does not come to rest")

    def come_back(self) -> None:
        """Do what follows a cut."""
        if self.only_killed and not self.machine.reboot_requested:
            self.start_executor()
        else:
            self.power_cycle()

    def power_cycle(self) -> None:
        """Boot the machine and start the executor, until a power cut lets both be."""
        while True:
            try:
                self.machine.boot()
                self.start_executor()
            except PowerCut:
                continue
            return

    def run_until_settled(self) -> None:
        """Let time pass until the node waits for somebody, or for nothing."""
        for _ in range(_PATIENCE):
            rest = self.advance()
            if rest is None:
                return
            self.clock.forward(rest)
        raise AssertionError("the node does not come to rest")
