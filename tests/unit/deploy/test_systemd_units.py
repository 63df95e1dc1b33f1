"""The units say what systemd understands, start what is installed, and do not forbid what the programs must do."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from controller.main import controller
from node_executor.cli import agent
from node_executor.settings import DEFAULT_FILE

UNITS = Path(__file__).parents[3] / "deploy/systemd"
COMMANDS = {"matic-agent": agent, "matic-controller": controller}
NAMES = ["matic-agent.service", "matic-controller.service"]


def directives(name: str) -> dict[str, list[str]]:
    """Read a unit: ``Section.Key`` to its values. A key may stand twice, which no INI parser allows."""
    found: dict[str, list[str]] = {}
    section = ""
    for line in (UNITS / name).read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals, f"{name}: {line!r} is no directive"
            found.setdefault(f"{section}.{key}", []).append(value)
    return found


def test_every_unit_is_looked_at() -> None:
    found = sorted(path.name for path in UNITS.iterdir())

    assert found == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_starts_a_program_of_ours_in_a_way_that_it_takes(name: str) -> None:
    scripts = {point.name for point in importlib.metadata.entry_points(group="console_scripts")}

    (line,) = directives(name)["Service.ExecStart"]

    program, command, *options = line.split()
    assert Path(program).name in scripts
    known = COMMANDS[Path(program).name].commands[command]
    assert options[0] in {name for parameter in known.params for name in parameter.opts}
    assert CliRunner().invoke(COMMANDS[Path(program).name], [command, "--help"]).exit_code == 0


@pytest.mark.parametrize("name", NAMES)
def test_a_unit_is_started_at_boot_and_again_whenever_it_ends(name: str) -> None:
    unit = directives(name)

    assert unit["Service.Restart"] == ["always"]
    assert unit["Install.WantedBy"] == ["multi-user.target"]


def test_the_executor_may_reach_disks_and_mounts_and_is_never_given_up() -> None:
    unit = directives("matic-agent.service")

    closes_devices = {"PrivateDevices", "ProtectClock", "DevicePolicy", "DeviceAllow"}
    own_mounts = {
        "ProtectSystem",
        "ProtectHome",
        "PrivateTmp",
        "ProtectKernelTunables",
        "ReadOnlyPaths",
        "PrivateMounts",
    }
    assert not {f"Service.{key}" for key in closes_devices | own_mounts | {"User", "WatchdogSec"}} & set(unit)
    (dropped,) = unit["Service.CapabilityBoundingSet"]
    assert dropped.startswith("~")
    assert not {"CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_DAC_OVERRIDE", "CAP_SYS_RAWIO"} & set(dropped[1:].split())
    assert unit["Unit.StartLimitIntervalSec"] == ["0"]
    assert unit["Service.Type"] == ["notify"]


def test_the_executor_finds_its_settings_and_keeps_its_state_where_the_defaults_say() -> None:
    unit = directives("matic-agent.service")

    assert unit["Service.ExecStart"][0].split()[-1] == str(DEFAULT_FILE)
    assert unit["Service.StateDirectory"] == ["matic"]


@pytest.mark.parametrize("name", NAMES)
def test_systemd_itself_accepts_a_unit(name: str, tmp_path: Path) -> None:
    """Where there is no systemd to ask, the keys are at least those that it has said yes to."""
    draft = tmp_path / name
    # It wants to see the program; ours lies beside the interpreter and not in /opt.
    draft.write_text((UNITS / name).read_text().replace("/opt/matic/bin", str(Path(sys.executable).parent)))

    analyze = shutil.which("systemd-analyze")

    if analyze is None:
        assert {key.partition(".")[0] for key in directives(name)} == {"Unit", "Service", "Install"}
        return
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(draft)], capture_output=True, text=True, timeout=60, check=False
    )
    # Other units of this machine may have complaints of their own.
    assert [line for line in done.stderr.splitlines() if name in line] == []
