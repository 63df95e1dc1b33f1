"""Facts that firmware and kernel decided: the running slot, the boot, the system's version.

``LinuxHost`` asks the kernel; ``BootFileHost`` reads them from the file that a virtual node's firmware wrote.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from node_executor.boot.disk import open_disk
from node_executor.boot.gpt import read_gpt
from shared.errors import BootloaderError, StateFileError
from shared.slots import Slot


class LinuxHost:
    """A real node. The mounted root says which slot runs; the kernel's command line only if the root hides it."""

    def __init__(self, disk: Path, *, root: Path = Path("/")) -> None:
        """Expect the slots on ``disk``; ``root`` is where /proc, /sys and /etc are looked for."""
        self._disk = disk
        self._root = root

    def running_slot(self) -> Slot:
        """See ``ports.Host.running_slot``.

        In this order: the device mounted at /, followed through device-mapper (verity); ``matic.slot=`` and then
        ``root=`` of the kernel's command line, for an overlay or a RAM disk as root.
        """
        slot = self._slot_of_mounted_root() or self._slot_of_command_line()
        if slot is None:
            cure = f"boot from {self._disk}, or have the boot loader pass matic.slot=A or matic.slot=B to the kernel"
            raise BootloaderError("cannot find the running slot: the root file system is on none of them", cure=cure)
        return slot

    def boot_id(self) -> str:
        """See ``ports.Host.boot_id``."""
        return self._read("proc/sys/kernel/random/boot_id").strip()

    def uptime(self) -> float:
        """See ``ports.Host.uptime``."""
        return float(self._read("proc/uptime").split()[0])

    def version(self) -> str:
        """See ``ports.Host.version``."""
        try:
            text = self._read("etc/os-release")
        except BootloaderError:
            return ""
        found = re.search(r"""^VERSION_ID=(["']?)(.*?)\1\s*$""", text, re.MULTILINE)
        return found[2] if found else ""

    def architecture(self) -> str:
        """See ``ports.Host.architecture``."""
        return os.uname().machine

    def _slot_of_mounted_root(self) -> Slot | None:
        # The fields of proc(5): id, parent, major:minor, root, mount point, ...; the last match covers earlier ones.
        rows = [line.split() for line in self._read("proc/self/mountinfo").splitlines()]
        numbers = [row[2] for row in rows if row[4] == "/"]
        return self._slot_of_device(self._root / "sys/dev/block" / numbers[-1]) if numbers else None

    def _slot_of_device(self, device: Path) -> Slot | None:
        device = device.resolve()
        below = list((device / "slaves").glob("*"))
        if len(below) == 1:
            return self._slot_of_device(below[0])
        number = device / "partition"
        on_our_disk = device.parent.name == self._disk.resolve().name
        return _slot_of_number(int(number.read_text())) if on_our_disk and number.is_file() else None

    def _slot_of_command_line(self) -> Slot | None:
        words = dict(word.partition("=")[::2] for word in self._read("proc/cmdline").split())
        if words.get("matic.slot") in list(Slot):
            return Slot(words["matic.slot"])
        root = words.get("root", "")
        if root.upper().startswith("PARTUUID="):
            return self._slot_of_partition_id(root[len("PARTUUID=") :])
        disk = re.escape(str(self._disk))
        number = re.fullmatch(rf"{disk}p?(\d+)", root)
        return _slot_of_number(int(number[1])) if number else None

    def _slot_of_partition_id(self, identity: str) -> Slot | None:
        with open_disk(self._disk, writable=False) as disk:
            partitions = read_gpt(disk).current.partitions()
        found = [n for n, p in partitions.items() if str(p.unique_guid) == identity.lower()]
        return _slot_of_number(found[0]) if found else None

    def _read(self, name: str) -> str:
        try:
            return (self._root / name).read_text()
        except OSError as error:
            cause = f"{self._root / name}: {error.strerror}"
            raise BootloaderError(f"cannot read {cause}", cure="mount /proc and /sys") from error


def _slot_of_number(number: int) -> Slot | None:
    return next((slot for slot in Slot if slot.partition_number == number), None)


class BootFacts(BaseModel):
    """What firmware tells the executor of a virtual node, as JSON."""

    model_config = ConfigDict(frozen=True)

    slot: Slot
    boot_id: str
    booted_at: float  #: CLOCK_MONOTONIC, in seconds
    version: str
    architecture: str


class BootFileHost:
    """A virtual node: one process of a test or demo, started "in" a slot by a stand-in for firmware."""

    def __init__(self, boot_file: Path) -> None:
        """Read ``boot_file`` once: the facts of a boot do not change.

        Raises:
            StateFileError: not there or not valid.
        """
        try:
            self._facts = BootFacts.model_validate_json(boot_file.read_bytes())
        except (OSError, ValidationError) as error:
            cure = "let the virtual node's supervisor write it, or unset `boot_file` on a real node"
            raise StateFileError(f"cannot read boot file {boot_file}: {error}", cure=cure) from error

    def running_slot(self) -> Slot:
        """See ``ports.Host.running_slot``."""
        return self._facts.slot

    def boot_id(self) -> str:
        """See ``ports.Host.boot_id``."""
        return self._facts.boot_id

    def uptime(self) -> float:
        """See ``ports.Host.uptime``."""
        return time.monotonic() - self._facts.booted_at

    def version(self) -> str:
        """See ``ports.Host.version``."""
        return self._facts.version

    def architecture(self) -> str:
        """See ``ports.Host.architecture``."""
        return self._facts.architecture
