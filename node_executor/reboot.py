"""Ways to end this boot."""

from __future__ import annotations

import subprocess
from pathlib import Path

from shared.errors import NodeError

#: The file beside a virtual node's boot file that asks its supervisor for a reboot; it holds the reason.
REBOOT_MARKER = "reboot-requested"

_TIMEOUT = 30.0  # seconds; systemctl only queues the job


class SystemdRebooter:
    """Reboots a real node: units are stopped in order and file systems unmounted."""

    def __init__(self, systemctl: str = "systemctl") -> None:
        """Use the program ``systemctl``, by name or path."""
        self._systemctl = systemctl

    def reboot(self, reason: str) -> None:
        """See ``ports.Rebooter.reboot``; the reason goes into the system journal."""
        command = [self._systemctl, "--no-wall", f"--message=matic-agent: {reason}", "reboot"]
        cure = "the executor must run as root; see `journalctl --unit systemd-logind`, or reboot the node by hand"
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NodeError(f"cannot reboot: {error}", cure=cure) from error
        if done.returncode != 0:
            cause = done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}"
            raise NodeError(f"cannot reboot: {cause}", cure=cure)


class MarkerRebooter:
    """Asks the supervisor of a virtual node, which ends the process and boots it again."""

    def __init__(self, boot_file: Path) -> None:
        """Put the marker beside ``boot_file``."""
        self._marker = boot_file.parent / REBOOT_MARKER

    def reboot(self, reason: str) -> None:
        """See ``ports.Rebooter.reboot``."""
        draft = self._marker.with_suffix(".new")
        try:
            draft.write_text(reason)
            draft.replace(self._marker)  # the supervisor sees it whole or not at all
        except OSError as error:
            raise NodeError(f"cannot reboot: {error}", cure=f"check the folder {self._marker.parent}") from error
