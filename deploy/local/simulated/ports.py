"""Every port of ``node_executor.ports``, on a ``SimulatedMachine``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from deploy.local.simulated.flasher import SimulatedFlasher
from deploy.local.simulated.machine import SimulatedMachine, proven, retired
from node_executor.state import Ports
from shared.errors import BootloaderError
from shared.messages import CheckResult, HealthPolicy, HealthReport
from shared.slots import MAX_TRIES, Slot, SlotStatus
from shared.states import Verdict

_CHECKS = ("boot", "service", "network", "api")


def simulated_ports(machine: SimulatedMachine) -> Ports:
    """Return all ports of one machine."""
    return Ports(
        host=SimulatedHost(machine),
        boot=SimulatedBootControl(machine),
        flasher=SimulatedFlasher(machine),
        health=SimulatedHealth(machine),
        hooks=SimulatedHooks(machine),
        rebooter=SimulatedRebooter(machine),
    )


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
            self._machine.slots = {slot: armed, slot.other(): replace(proven(slot.other(), 1), flagged=False)}

    def mark_good(self, slot: Slot) -> None:
        """See the port."""
        with self._machine.effect("mark_good"):
            other = self._machine.slots[slot.other()]
            kept = proven(slot.other(), 1) if other.successful else retired(slot.other())
            self._machine.slots = {slot: proven(slot, 2), slot.other(): kept}

    def retire(self, slot: Slot) -> None:
        """See the port."""
        with self._machine.effect("retire"):
            self._need_proven(slot.other())
            self._machine.slots = {slot: retired(slot), slot.other(): proven(slot.other(), 2)}

    def repair(self) -> bool:
        """See the port."""
        return False

    def _need_proven(self, slot: Slot) -> None:
        if not self._machine.slots[slot].successful:
            raise BootloaderError(f"cannot change the boot order: slot {slot} is not proven")


class SimulatedHealth:
    """``ports.HealthProbe``: the four built-in checks, of which the script may fail one."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self._machine = machine

    def run(
        self,
        policy: HealthPolicy,  # noqa: ARG002 - the first answer is final
        cancelled: threading.Event,  # noqa: ARG002 - takes no time
        on_round: Callable[[HealthReport], None] | None = None,
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
                self._machine.hook_environments.append(dict(environment))


class SimulatedRebooter:
    """``ports.Rebooter``: whoever drives the machine looks at ``reboot_requested``."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self._machine = machine

    def reboot(self, reason: str) -> None:
        """See the port."""
        with self._machine.effect("reboot"):
            self._machine.reboot_requested = reason
