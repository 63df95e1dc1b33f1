"""A virtual node: a disk image, a stand-in for firmware and kernel, and the real executor as a real process.

What is real: the GPT and the bytes in its slots, the executor (``matic-agent run``), its state folder, its TLS. What is
not: there is no kernel. The supervisor reads which slot the boot attributes name, looks for a whole system in it, and
starts the executor with a *boot file* that says where it runs. A reboot is the end of that process and a new start.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import firmware
from deploy.local.images import read_system
from shared.slots import Slot

#: How often the supervisor looks for a request to reboot while the executor runs, in seconds. For a hundred nodes in
#: one process that is 5 % of a core; ``Popen.wait`` with a time limit, which polls by itself, took 48 %.
_LOOK_EVERY = 0.1
#: How long an executor may take to end before the machine "loses power", in seconds.
_GRACE = 5.0

_SYSTEMCTL = """#!/bin/sh
# The virtual node's stand-in for systemctl: a unit is active if the supervisor could start it.
for unit do :; done
if [ -e "$(dirname "$0")/../run/units/$unit" ]; then echo active; exit 0; fi
echo failed
exit 3
"""


@dataclass(frozen=True)
class Boot:
    """One boot of a virtual node."""

    slot: Slot
    version: str
    boot_id: str


@dataclass
class VirtualNode:
    """Supervises one node in a thread. ``folder`` must hold ``disk.img``, ``agent.toml`` and the node's keys.

    ``broken`` maps a version to the units that do not start on this very node: a driver that version lacks.
    """

    node_id: str
    folder: Path
    broken: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    niceness: int = 0  #: of the executor; large fleets leave the machine to others
    on_boot: Callable[[Boot], None] | None = None
    boots: list[Boot] = field(default_factory=list)
    failed_boots: int = 0  #: boots that found no whole system in the slot
    agent: Path = field(default_factory=lambda: Path(sys.executable).parent / "matic-agent")  #: the executor's program
    dead: str = ""  #: why this node boots no more; "" while it does

    def __post_init__(self) -> None:
        """Prepare what belongs to the machine and not to a boot."""
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._power = threading.Event()  # set: the machine is on
        self._cut = threading.Event()  # set: power was cut; the next start is a new boot
        self._thread: threading.Thread | None = None
        tools = self.folder / "bin"
        tools.mkdir(parents=True, exist_ok=True)
        systemctl = tools / "systemctl"
        systemctl.write_text(_SYSTEMCTL)
        systemctl.chmod(0o755)

    @property
    def pid(self) -> int | None:
        """The executor's process id, while it runs."""
        with self._lock:
            return self._process.pid if self._process and self._process.poll() is None else None

    def start(self) -> None:
        """Switch the machine on."""
        self._power.set()
        self._thread = threading.Thread(target=self._live, name=f"virtual-{self.node_id}", daemon=True)
        self._thread.start()

    def switch_off(self) -> None:
        """Begin to switch the machine off: the executor is asked to end; ``stop`` waits for it."""
        self._power.clear()
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._process.terminate()

    def stop(self) -> None:
        """Switch the machine off: the executor is asked to end, then killed."""
        self.switch_off()
        self._end(kill=False)
        if self._thread is not None:
            self._thread.join(_GRACE * 2)

    def kill_executor(self) -> None:
        """Kill -9 the executor; it is started again in the same boot, as systemd would."""
        self._end(kill=True)

    def cut_power(self) -> None:
        """Take the power away and bring it back: kill -9, then a new boot through the firmware."""
        self._cut.set()
        self._end(kill=True)

    def _live(self) -> None:
        while self._power.is_set():
            boot = self._boot()
            if boot is None:
                if self.dead:
                    return
                continue
            self._cut.clear()
            self.boots.append(boot)
            if self.on_boot is not None:
                self.on_boot(boot)
            while self._power.is_set() and not self._cut.is_set() and not self._marker.exists():
                self._run_executor()

    @property
    def _marker(self) -> Path:
        return self.folder / "run" / "reboot-requested"

    def _boot(self) -> Boot | None:
        """Do what firmware and kernel do; None if this try came to nothing."""
        run = self.folder / "run"
        shutil.rmtree(run, ignore_errors=True)
        (run / "units").mkdir(parents=True)
        disk = self.folder / "disk.img"
        try:
            chosen = firmware.boot(disk)
        except firmware.NothingBootableError as error:
            self.dead = str(error)
            return None
        version = read_system(disk, chosen.offset, run / "root")
        if version is None:
            self.failed_boots += 1
            return None
        boot = Boot(slot=Slot(chosen.slot), version=version, boot_id=str(uuid.uuid4()))
        self._start_services(run, version)
        facts = {
            "slot": boot.slot.value,
            "boot_id": boot.boot_id,
            "booted_at": time.monotonic(),
            "version": version,
            "architecture": os.uname().machine,
        }
        (run / "boot.json").write_text(json.dumps(facts))
        return boot

    def _start_services(self, run: Path, version: str) -> None:
        listed = run / "root/etc/matic/services"
        for unit in listed.read_text().split() if listed.exists() else []:
            program = run / "root/usr/bin" / unit.removesuffix(".service")
            if program.exists() and unit not in self.broken.get(version, ()):
                (run / "units" / unit).touch()

    def _run_executor(self) -> None:
        """Run the executor until it ends, asks for a reboot, or the power goes."""
        # nice replaces itself by the executor: the process id stays.
        politely = ["nice", "-n", str(self.niceness)] if self.niceness else []
        command = [*politely, str(self.agent), "run", "--config", str(self.folder / "agent.toml")]
        environment = {**os.environ, "PATH": f"{self.folder / 'bin'}:{os.environ.get('PATH', '')}"}
        with (self.folder / "console.log").open("ab") as console, self._lock:
            if not self._power.is_set():
                return
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=environment
            )
            ended = os.pidfd_open(self._process.pid)
        try:
            poll, marker = select.poll(), self._marker
            poll.register(ended, select.POLLIN)
            while not poll.poll(_LOOK_EVERY * 1000):
                if marker.exists():
                    self._end(kill=False)
                    return
        finally:
            os.close(ended)
        self._process.wait()

    def _end(self, *, kill: bool) -> None:
        with self._lock:
            process = self._process
        if process is None or process.poll() is not None:
            return
        if not kill:
            process.terminate()
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
        else:
            process.kill()
        process.wait()
