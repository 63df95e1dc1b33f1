"""The four built-in checks, each against the real thing it asks where that can be had."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import ValidationError

from node_executor.health import CheckContext, CheckOutcome, HealthCheck
from node_executor.health.checks.api import ApiCheck, dialled
from node_executor.health.checks.boot import BootCheck
from node_executor.health.checks.network import NetworkCheck
from node_executor.health.checks.service import ServiceCheck
from shared.states import Verdict
from tests.support.checks import context

H, U, X = Verdict.HEALTHY, Verdict.UNHEALTHY, Verdict.UNDECIDED


def ask(check: HealthCheck, about: CheckContext | None = None) -> CheckOutcome:
    return asyncio.run(check.check(about or context()))


@pytest.mark.parametrize(
    ("uptime", "options", "verdict"),
    [(10.0, {}, U), (10.1, {}, H), (3.0, {"min_uptime": 2}, H), (100.0, {"min_uptime": 120}, U)],
)
def test_boot_wants_an_uptime_above_its_threshold(uptime: float, options: dict[str, object], verdict: Verdict) -> None:
    outcome = ask(BootCheck(options), context(uptime=lambda: uptime))

    assert outcome.verdict is verdict
    assert "up for" in outcome.message


def test_service_is_unhealthy_when_the_executors_thread_is_dead() -> None:
    outcome = ask(ServiceCheck({}), context(executor_alive=lambda: False))

    assert outcome == CheckOutcome.unhealthy("the executor's worker thread does not run")


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a way to put a program of the name ``systemctl`` first on PATH, as a virtual node does."""

    def install(script: str) -> None:
        program = tmp_path / "bin" / "systemctl"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(program.parent), prepend=":")

    return install


IS_ACTIVE = (
    'test "$1" = is-active || exit 64; case $2 in a.service|b.service) echo active;; *) echo failed; exit 3;; esac'
)


@pytest.mark.parametrize(
    ("units", "outcome"),
    [
        (["a.service"], CheckOutcome.healthy("executor, a.service active")),
        (["a.service", "b.service"], CheckOutcome.healthy("executor, a.service, b.service active")),
        (["a.service", "c.service"], CheckOutcome.unhealthy("c.service is failed")),
        ([], CheckOutcome.healthy("executor active")),
    ],
    ids=["one", "two", "one of two failed", "none"],
)
def test_service_asks_systemd_about_every_unit(
    units: list[str], outcome: CheckOutcome, systemctl: Callable[[str], None]
) -> None:
    systemctl(IS_ACTIVE)

    assert ask(ServiceCheck({"units": units})) == outcome


def test_service_is_undecided_where_systemd_cannot_be_asked(systemctl: Callable[[str], None]) -> None:
    systemctl("echo 'Failed to connect to bus: Host is down' >&2; exit 1")

    outcome = ask(ServiceCheck({"units": ["a.service"]}))

    assert outcome == CheckOutcome.undecided("cannot ask systemctl: Failed to connect to bus: Host is down")


def test_service_is_undecided_without_systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert ask(ServiceCheck({"units": ["a.service"]})).verdict is X


def test_service_leaves_no_process_behind_when_it_is_cancelled(
    tmp_path: Path, systemctl: Callable[[str], None]
) -> None:
    started = tmp_path / "started"
    subprocess.run(["mkfifo", str(started)], check=True)
    systemctl(f"echo $$ > {started}; exec sleep 600")

    async def cancelled_once_it_runs() -> int:
        asking = asyncio.create_task(ServiceCheck({"units": ["a.service"]}).check(context()))
        pid = int(await asyncio.to_thread(started.read_text))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        return pid

    pid = asyncio.run(cancelled_once_it_runs())

    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("unit", ["--force", "a b", "", "a;b", "../x"])
def test_service_refuses_what_is_no_unit_name(unit: str) -> None:
    with pytest.raises(ValidationError, match="is not the name of a systemd unit"):
        ServiceCheck({"units": [unit]})


LOOPBACK = SimpleNamespace(isup=True, flags="up,loopback,running")
CABLE = SimpleNamespace(isup=True, flags="up,broadcast,running,multicast")
UNPLUGGED = SimpleNamespace(isup=True, flags="up,broadcast,multicast")
OFF = SimpleNamespace(isup=False, flags="broadcast,multicast")


@pytest.mark.parametrize(
    ("interfaces", "wanted", "verdict"),
    [
        ({"lo": LOOPBACK, "eth0": CABLE}, [], H),
        ({"lo": LOOPBACK}, [], U),
        ({"lo": LOOPBACK, "eth0": UNPLUGGED, "eth1": OFF}, [], U),
        ({"eth0": CABLE, "wan": OFF}, ["wan"], U),
        ({"eth0": CABLE, "wan": CABLE}, ["wan"], H),
        ({"eth0": CABLE}, ["wan"], U),
    ],
    ids=["cable", "loopback alone", "no carrier or off", "wanted one off", "wanted one on", "wanted one missing"],
)
def test_network_wants_an_active_interface(
    interfaces: Mapping[str, SimpleNamespace], wanted: list[str], verdict: Verdict
) -> None:
    check = NetworkCheck({"interfaces": wanted}, read=lambda: interfaces)

    assert ask(check).verdict is verdict


def test_network_reads_this_machines_interfaces() -> None:
    outcome = ask(NetworkCheck({"interfaces": ["no-such-interface"]}))

    assert outcome == CheckOutcome.unhealthy("not active: no-such-interface")
    assert ask(NetworkCheck({})).verdict in (H, U)


def test_api_without_certificates_asks_whether_the_port_accepts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        about = context(api_address=f"0.0.0.0:{server.getsockname()[1]}")
        listening = ask(ApiCheck({}), about)
    closed = ask(ApiCheck({}), about)

    assert (listening.verdict, closed.verdict) == (H, U)
    assert "does not answer" in closed.message


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("0.0.0.0:50051", "127.0.0.1:50051"),
        ("[::]:50051", "[::1]:50051"),
        (":50051", "127.0.0.1:50051"),
        ("192.0.2.7:50051", "192.0.2.7:50051"),
    ],
)
def test_api_is_asked_where_it_can_be_reached(listen: str, address: str) -> None:
    assert dialled(listen) == address


@pytest.mark.parametrize("check", [BootCheck, ServiceCheck, NetworkCheck, ApiCheck])
def test_unknown_options_are_refused(check: Callable[[Mapping[str, object]], HealthCheck]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        check({"unheard_of": 1})
