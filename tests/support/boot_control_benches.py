"""Everything that implements ``BootControl``, each with firmware that honours the attributes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from deploy.local import firmware
from deploy.local.simulated import NothingBootableError, SimulatedMachine, simulated_ports
from node_executor.boot.control import GptBootControl
from node_executor.ports import BootControl
from shared.slots import Slot
from tests.support.gpt_disks import provisioned_file


class BootControlBench(Protocol):
    """A machine with two whole systems; slot A is proven, slot B was never booted."""

    def control(self) -> BootControl:
        """Return a boot control that has not seen the machine before."""
        ...

    def boot(self) -> Slot | None:
        """Power on: return the slot that firmware starts, None if there is none."""
        ...


@dataclass
class GptBench:
    """The real one, on an image file, with the stand-in for firmware that the demo uses."""

    disk: Path

    def control(self) -> BootControl:
        """See ``BootControlBench``."""
        return GptBootControl(self.disk)

    def boot(self) -> Slot | None:
        """See ``BootControlBench``."""
        try:
            return Slot(firmware.boot(self.disk).slot)
        except firmware.NothingBootableError:
            return None


@dataclass
class SimulatedBench:
    """The one in memory, on which light nodes run."""

    machine: SimulatedMachine = field(
        default_factory=lambda: SimulatedMachine(contents={Slot.A: "1.0.0", Slot.B: "2.0.0"})
    )

    def control(self) -> BootControl:
        """See ``BootControlBench``."""
        return simulated_ports(self.machine).boot

    def boot(self) -> Slot | None:
        """See ``BootControlBench``."""
        try:
            self.machine.boot()
        except NothingBootableError:
            return None
        return self.machine.running


BENCHES: dict[str, Callable[[Path], BootControlBench]] = {
    "gpt": lambda folder: GptBench(provisioned_file(folder)),
    "simulated": lambda _folder: SimulatedBench(),
}
