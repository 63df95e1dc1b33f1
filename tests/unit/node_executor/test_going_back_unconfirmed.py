"""Leaving a bad slot does not hang on the tools that cross-check the partition table: the bad image may lack them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from deploy.local.simulated import SimulatedMachine, SimulatedNode
from deploy.local.simulated.ports import SimulatedBootControl
from node_executor.runner import Runner
from shared.errors import BootloaderError
from shared.slots import Slot
from shared.states import EventKind
from tests.support.updates import phases, told, update


class WithoutTools(SimulatedBootControl):
    """Boot control on a system without sgdisk: a change is made, and cannot be confirmed; or not even made."""

    def __init__(self, machine: SimulatedMachine, *, changes: bool) -> None:
        super().__init__(machine)
        self._changes = changes

    def retire(self, slot: Slot) -> None:
        """See the port."""
        if not self._changes:
            raise BootloaderError("cannot write sector 1: Input/output error")
        super().retire(slot)
        raise BootloaderError("cannot check disk: sgdisk is not installed")


@dataclass
class BadNode(SimulatedNode):
    """A node whose version 2.0.0 is unhealthy and lacks the tools."""

    disk_writes: bool = True

    def start_executor(self) -> None:
        """See ``SimulatedNode``."""
        self.machine.unhealthy["2.0.0"] = "service"
        super().start_executor()
        if self.machine.running is Slot.B:
            self.state.ports = replace(self.state.ports, boot=WithoutTools(self.machine, changes=self.disk_writes))
            self.runner = Runner(self.state, jitter=lambda: 0.0)


class LateDisk(SimulatedBootControl):
    """Boot control on a disk that does not answer the first times."""

    def __init__(self, machine: SimulatedMachine, *, silent: int) -> None:
        super().__init__(machine)
        self._silent = silent

    def repair(self) -> bool:
        """See the port."""
        if self._silent:
            self._silent -= 1
            raise BootloaderError("cannot lock disk: another process holds it")
        return super().repair()


class LateNode(SimulatedNode):
    """A node whose version 2.0.0 is unhealthy, and whose disk comes late in slot B."""

    def start_executor(self) -> None:
        """See ``SimulatedNode``."""
        self.machine.unhealthy["2.0.0"] = "service"
        super().start_executor()
        if self.machine.running is Slot.B:
            self.state.ports = replace(self.state.ports, boot=LateDisk(self.machine, silent=3))
            self.runner = Runner(self.state, jitter=lambda: 0.0)
            self.runner.start()


def test_a_disk_that_comes_late_does_not_keep_a_bad_slot() -> None:
    node = LateNode()
    node.desk.schedule(update())

    rest = node.advance()
    troubled = node.state.trouble
    node.run_until_settled()

    assert rest == 60
    assert isinstance(troubled, BootloaderError)
    assert phases(node)[-1] == "rolled_back"
    assert [event.error_kind for event in told(node, EventKind.HELLO)][-3:] == ["bootloader_error", "", ""]


def test_a_bad_slot_is_left_although_the_change_could_not_be_cross_checked() -> None:
    node = BadNode()
    node.desk.schedule(update())

    node.run_until_settled()

    assert phases(node)[-1] == "rolled_back"
    assert node.machine.running is Slot.A
    assert node.machine.good == [Slot.A]


def test_a_bad_slot_is_not_left_while_it_is_still_the_one_to_boot() -> None:
    node = BadNode(disk_writes=False)
    node.desk.schedule(update())

    node.run_until_settled()

    outcome = told(node, EventKind.OUTCOME)[0]
    assert (outcome.phase.value, outcome.error_kind) == ("failed", "bootloader_error")
    assert node.machine.running is Slot.B
