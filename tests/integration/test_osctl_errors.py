"""What goes wrong is told by thing, cause and cure, and has its exit code."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from controller.fleet import Fleet
from deploy.local.fleet import free_ports
from shared.errors import all_errors
from shared.pki import DevelopmentCa
from shared.tls import TlsFiles
from tests.support.certs import expired, old_ca
from tests.support.fleet_server import FleetServer, now
from tests.support.osctl import PROGRAM, Osctl, Result, finish

_SHA = "a" * 64
_UPDATE = ("schedule", "update", "--sha256", _SHA, "--source", "http://h/i")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FleetServer]:
    """A running API with node n1; no test here changes anything that lasts."""
    running = FleetServer(tmp_path_factory.mktemp("fleet"))
    running.register("n1")
    yield running
    running.close()


@pytest.fixture
def osctl(server: FleetServer, tmp_path: Path) -> Osctl:
    """Osctl as user alice of that controller."""
    return Osctl(tmp_path, server.address, files=server.user)


def _says(result: Result, code: int, *parts: str) -> None:
    assert result.code == code, result
    assert result.out == ""
    lines = result.err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["error", "cure"], result.err
    for part in parts:
        assert part in result.err


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        pytest.param(
            ["schedule", "update", "--all", "--source", "http://h/i", "--sha256", "xyz"],
            ["image.sha256", "'xyz'", "64 hex"],
            id="wrong sha256",
        ),
        pytest.param(
            ["schedule", "update", "--all", "--source", "ftp://h/i", "--sha256", _SHA],
            ["image.source", "'ftp://h/i'", "http://"],
            id="wrong url",
        ),
        pytest.param([*_UPDATE], ["no targets", "--selector"], id="no targets"),
        pytest.param([*_UPDATE, "--all", "--node", "n1"], ["two ways", "one of"], id="two kinds of targets"),
        pytest.param([*_UPDATE, "--selector", "a=b=c"], ["'a=b=c'", "site=berlin"], id="bad selector"),
        pytest.param([*_UPDATE, "--selector", "site=mars"], ["'site=mars' matches none"], id="nobody selected"),
        pytest.param([*_UPDATE, "--selector", " "], ["selector is empty"], id="empty selector"),
        pytest.param([*_UPDATE, "--all", "--window", "noon"], ["window 'noon'", "02:00"], id="bad window"),
        pytest.param([*_UPDATE, "--all", "--at", "noon"], ["'noon'", "+30m"], id="bad instant"),
        pytest.param([*_UPDATE, "--all", "--wait", "--timeout", "x"], ["duration 'x'"], id="bad duration"),
        pytest.param([*_UPDATE, "--all", "--health-check-timeout", "-1"], ["health.timeout -1"], id="bad timeout"),
        pytest.param(["rollout", "create", *_UPDATE[2:], "--all", "--waves", "50%,25%"], ["must grow"], id="bad waves"),
        pytest.param(["rollout", "create", *_UPDATE[2:], "--all", "--max-failed", "-1"], ["--max-failed"], id="range"),
        pytest.param(["node", "add", "n7"], ["event key", "events.pub"], id="no key"),
        pytest.param(["schedule"], ["Missing command"], id="no command"),
    ],
)
def test_wrong_input_is_a_usage_error(osctl: Osctl, arguments: list[str], parts: list[str]) -> None:
    if arguments == ["schedule"]:
        assert osctl(*arguments).code == 2
        return

    _says(osctl(*arguments), 2, *parts)


def test_what_does_not_exist_is_not_found(osctl: Osctl) -> None:
    _says(osctl("rollout", "get", "rollout-x"), 3, "rollout-x", "osctl rollout list")
    _says(osctl("schedule", "status", "sched-x"), 3, "sched-x", "osctl schedule list")
    _says(osctl(*_UPDATE, "--node", "n8"), 3, "n8", "osctl node list")
    _says(osctl("health", "--context", "moon"), 3, "context 'moon'", "osctl context set")


def test_a_nodes_certificate_is_not_allowed(osctl: Osctl, server: FleetServer) -> None:
    osctl.files = server.ca.issue("node", "n1")

    _says(osctl("node", "list"), 4, "node n1", "role")


def test_what_an_error_says_is_json_for_scripts(osctl: Osctl) -> None:
    result = osctl("rollout", "get", "rollout-x", "-o", "json")

    assert result.code == result.error["exit_code"] == 3
    assert set(result.error) == {"kind", "message", "cure", "exit_code"}
    assert result.error["kind"] in all_errors()


def test_a_servers_bug_is_a_bug(server: FleetServer, osctl: Osctl) -> None:
    class Broken(Fleet):
        def database(self) -> str:
            raise ZeroDivisionError

    server.stop()
    server.start(Broken(server.store, clock=now, wake=lambda: None))

    result = osctl("version", "--server")

    server.stop()
    server.start()
    _says(result, 1, "ZeroDivisionError", "server's log")


# --- unreachable: network or TLS ----------------------------------------------------------------------------


def test_a_port_where_nothing_listens_is_the_network(osctl: Osctl) -> None:
    osctl.address = f"127.0.0.1:{free_ports(1)[0]}"

    _says(osctl("node", "list"), 6, "nothing listens", osctl.address)


def test_a_name_that_cannot_be_resolved_is_the_network(osctl: Osctl) -> None:
    osctl.address = "no-such-host.invalid:50051"

    _says(osctl("node", "list"), 6, "cannot be resolved")


def test_a_server_of_another_ca_is_tls(osctl: Osctl, tmp_path: Path) -> None:
    osctl.files = DevelopmentCa.create(tmp_path / "other").issue("user", "alice")

    _says(osctl("node", "list"), 6, "TLS", "was not issued by the CA")


def test_a_client_certificate_of_another_ca_is_tls(osctl: Osctl, server: FleetServer, tmp_path: Path) -> None:
    stranger = DevelopmentCa.create(tmp_path / "other").issue("user", "alice")
    _context(osctl, server, replace(stranger, ca=server.user.ca))

    _says(osctl("node", "list"), 6, "certificate", "CA")


def test_an_expired_certificate_is_tls(osctl: Osctl, tmp_path: Path) -> None:
    osctl.files = expired(old_ca(tmp_path / "old"), "user", "alice")  # type: ignore[arg-type]  # a role's name will do

    _says(osctl("node", "list"), 6, "expired", "issue a new certificate")


def test_a_certificate_that_cannot_be_read_is_named(osctl: Osctl, tmp_path: Path) -> None:
    osctl.files = TlsFiles.from_folder(tmp_path / "nowhere")

    _says(osctl("node", "list"), 6, str(tmp_path / "nowhere"))


def test_no_certificate_at_all_is_a_usage_error(osctl: Osctl) -> None:
    osctl.files = None

    _says(osctl("node", "list"), 2, "no certificate", "--tls-dir")


def test_nobody_to_ask_is_a_usage_error(osctl: Osctl) -> None:
    osctl.address = ""

    _says(osctl("node", "list"), 2, "whom to ask", "osctl context set")


def test_a_controller_taken_for_a_node_is_told_apart(osctl: Osctl) -> None:
    _says(osctl("health", "--kind", "node"), 2, "controller or node")


def test_the_doctor_reports_a_context_that_cannot_be_reached(osctl: Osctl) -> None:
    osctl.address = f"127.0.0.1:{free_ports(1)[0]}"

    result = osctl("doctor", "-o", "json")

    assert result.code == 6
    assert result.json["ready"] is False
    assert "nothing listens" in result.json["checks"][-1]["message"]


def _context(osctl: Osctl, server: FleetServer, files: TlsFiles) -> None:
    """Name the three files one by one, as only a context can."""
    osctl.address, osctl.files = "", None
    names = ("--ca", str(files.ca), "--cert", str(files.cert), "--key", str(files.key))
    assert osctl("context", "set", "lab", "--address", server.address, *names).code == 0


def test_a_context_with_single_files_reaches_the_controller(osctl: Osctl, server: FleetServer) -> None:
    _context(osctl, server, server.user)

    assert osctl("node", "list").code == 0


# --- ends from outside --------------------------------------------------------------------------------------


def test_ctrl_c_ends_a_wait_cleanly(osctl: Osctl, server: FleetServer) -> None:
    server.register("n-wait")
    process = osctl.start(*_UPDATE, "--node", "n-wait", "--wait")
    assert process.stdout is not None
    process.stdout.readline()

    process.send_signal(signal.SIGINT)

    result = finish(process)
    assert (result.code, result.err.strip()) == (130, "error: interrupted")


def test_a_reader_that_goes_away_is_no_error_worth_a_traceback(osctl: Osctl) -> None:
    with osctl.start("node", "list", "-o", "json") as process:
        assert process.stdout is not None
        assert process.stderr is not None

        process.stdout.close()

        assert process.stderr.read() == ""
        assert process.wait(60) == 141


def test_the_program_is_installed() -> None:
    assert PROGRAM.is_file()
