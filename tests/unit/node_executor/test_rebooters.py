"""Both ways to end a boot."""

from __future__ import annotations

from pathlib import Path

import pytest

from node_executor.reboot import REBOOT_MARKER, MarkerRebooter, SystemdRebooter
from shared.errors import NodeError


def program(folder: Path, body: str) -> str:
    path = folder / "systemctl"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_systemd_is_asked_to_reboot_with_the_reason(tmp_path: Path) -> None:
    systemctl = program(tmp_path, f"printf '%s\\n' \"$@\" > {tmp_path}/asked")

    SystemdRebooter(systemctl).reboot("slot B is armed")

    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == ["--no-wall", "--message=matic-agent: slot B is armed", "reboot"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("echo 'Access denied' >&2; exit 1", "cannot reboot: Access denied"),
        ("exit 4", "cannot reboot: exit code 4"),
    ],
    ids=["message", "silent"],
)
def test_a_refusal_of_systemd_is_told(body: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(NodeError, match=says) as caught:
        SystemdRebooter(program(tmp_path, body)).reboot("any")

    assert "as root" in caught.value.cure


def test_a_machine_without_systemd_is_told(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match=r"cannot reboot: .*No such file"):
        SystemdRebooter(str(tmp_path / "systemctl")).reboot("any")


def test_a_marker_beside_the_boot_file_asks_the_supervisor(tmp_path: Path) -> None:
    MarkerRebooter(tmp_path / "boot.json").reboot("slot B is armed")

    assert [path.name for path in tmp_path.iterdir()] == [REBOOT_MARKER]
    assert (tmp_path / REBOOT_MARKER).read_text() == "slot B is armed"


def test_a_marker_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="cannot reboot: ") as caught:
        MarkerRebooter(tmp_path / "gone" / "boot.json").reboot("any")

    assert "gone" in caught.value.cure
