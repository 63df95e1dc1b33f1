"""The executor as a process: its API over mTLS, its roles, its command line, its clean end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from deploy.local.waiting import wait_until
from shared.errors import AlreadyExistsError, ConflictError, InputError, NotAllowedError, NotFoundError
from shared.proto import node_pb2, node_pb2_grpc
from shared.slots import Slot
from shared.tls import open_channel
from shared.wire import error_from_rpc, update_to_proto
from tests.support.real_node import RealNode, Workshop

AGENT = str(Path(sys.executable).parent / "matic-agent")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture(scope="module")
def node(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    real = RealNode(workshop, tmp_path_factory.mktemp("node") / "node")
    real.start()
    yield real
    real.close()


def test_health_names_every_check_and_the_node(node: RealNode) -> None:
    answer = node.api.GetHealth(node_pb2.GetHealthRequest(fresh=True), timeout=20)

    assert [check.name for check in answer.report.checks] == ["boot", "service", "network", "api"]
    assert answer.report.verdict in ("healthy", "degraded")
    assert (answer.facts.slot, answer.facts.version, list(answer.facts.good_slots)) == ("A", "1.0.0", ["A"])


def test_an_update_and_its_rollback_go_through_the_api(node: RealNode) -> None:
    spec = node.spec(node.workshop.new)
    request = node_pb2.ScheduleUpdateRequest(update=update_to_proto(spec), idempotency_key="key-1")

    scheduled = node.api.ScheduleUpdate(request, timeout=20).schedule
    again = node.api.ScheduleUpdate(request, timeout=20).schedule
    node.wait_final(scheduled.id)
    status = node.api.GetScheduleStatus(
        node_pb2.GetScheduleStatusRequest(schedule_id=scheduled.id), timeout=20, wait_for_ready=True
    ).schedule
    started = node.api.TriggerRollback(node_pb2.TriggerRollbackRequest(reason="Application crash"), timeout=20)
    node.wait_final(started.schedule_id)
    history = node.api.GetRollbackHistory(node_pb2.GetRollbackHistoryRequest(), timeout=20, wait_for_ready=True).records
    listed = node.api.ListSchedules(node_pb2.ListSchedulesRequest(), timeout=20).schedules

    assert again.id == scheduled.id
    assert (scheduled.state, status.state) == ("Pending", "Completed")
    assert [(r.type, r.reason, r.from_slot, r.to_version) for r in history] == [
        ("Manual", "Application crash", "B", "1.0.0")
    ]
    assert [s.state for s in listed] == ["RolledBack", "Completed"]
    assert node.machine.boots[-1].slot is Slot.A


@pytest.mark.parametrize(
    ("call", "request_", "error"),
    [
        pytest.param(
            "ScheduleUpdate", node_pb2.ScheduleUpdateRequest(idempotency_key="key-2"), InputError, id="no-image"
        ),
        pytest.param(
            "GetScheduleStatus", node_pb2.GetScheduleStatusRequest(schedule_id="x"), NotFoundError, id="unknown"
        ),
        pytest.param("TriggerRollback", node_pb2.TriggerRollbackRequest(reason="x"), ConflictError, id="no-slot"),
        pytest.param("ListSchedules", node_pb2.ListSchedulesRequest(limit=-1), InputError, id="negative-limit"),
    ],
)
def test_errors_arrive_as_what_they_are(node: RealNode, call: str, request_: object, error: type[Exception]) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        getattr(node.api, call)(request_, timeout=20, wait_for_ready=True)

    assert type(error_from_rpc(caught.value)) is error


def test_one_key_for_two_updates_is_told_apart_from_other_conflicts(node: RealNode) -> None:
    first, other = node.spec(node.workshop.new), node.spec(node.workshop.bad)
    held = {"start_at": "2199-01-01T00:00:00Z"}
    first, other = (type(s).model_validate({**s.model_dump(), **held}) for s in (first, other))
    ask = node_pb2.ScheduleUpdateRequest(update=update_to_proto(first), idempotency_key="key-3")
    clash = node_pb2.ScheduleUpdateRequest(update=update_to_proto(other), idempotency_key="key-3")

    schedule = node.api.ScheduleUpdate(ask, timeout=20, wait_for_ready=True).schedule
    with pytest.raises(grpc.RpcError) as caught:
        node.api.ScheduleUpdate(clash, timeout=20)
    cancelled = node.api.CancelSchedule(node_pb2.CancelScheduleRequest(schedule_id=schedule.id), timeout=20)

    assert isinstance(error_from_rpc(caught.value), AlreadyExistsError)
    assert (cancelled.answer, cancelled.schedule.state) == ("stopped", "Cancelled")


def test_another_node_may_ask_for_health_checking_and_nothing_else(node: RealNode) -> None:
    with open_channel(node.address, node.workshop.ca.issue("node", "node-2")) as channel:
        ask = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        serving = ask(health_pb2.HealthCheckRequest(), timeout=20, wait_for_ready=True)
        with pytest.raises(grpc.RpcError) as caught:
            node_pb2_grpc.NodeServiceStub(channel).GetHealth(node_pb2.GetHealthRequest(), timeout=20)

    assert serving.status == health_pb2.HealthCheckResponse.SERVING
    assert isinstance(error_from_rpc(caught.value), NotAllowedError)


def test_the_service_describes_itself(node: RealNode) -> None:
    with open_channel(node.address, node.user) as channel:
        names = ProtoReflectionDescriptorDatabase(channel).get_services()

    assert "maticos.v1.NodeService" in names


def test_status_reads_the_disk_while_the_executor_runs(node: RealNode) -> None:
    command = [AGENT, "status", "--config", str(node.folder / "agent.toml")]

    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    as_json = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)

    assert "Node: node-1" in text
    assert "proven" in text
    assert (as_json["node_id"], as_json["troubles"]) == ("node-1", [])


def test_a_second_executor_on_the_same_state_folder_is_refused(node: RealNode) -> None:
    command = [AGENT, "run", "--config", str(node.folder / "agent.toml")]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 5
    assert "another executor runs on it" in done.stderr


def test_a_misspelt_setting_is_named(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('node_id = "node-1"\ndisk = "/dev/null"\ntls_dir = "/nowhere"\nhealht = 1\n')

    done = subprocess.run([AGENT, "run", "--config", str(file)], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "healht" in done.stderr


def test_systemd_is_told_and_a_term_signal_ends_it_cleanly(workshop: Workshop, tmp_path: Path) -> None:
    other = RealNode(workshop, tmp_path / "node")
    other.start()
    other.machine.stop()
    path = tmp_path / "notify"
    (tmp_path / "node/run").mkdir(exist_ok=True)
    facts = {"slot": "A", "boot_id": "x", "booted_at": 0.0, "version": "1.0.0", "architecture": "x86_64"}
    (tmp_path / "node/run/boot.json").write_text(json.dumps(facts))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(30)
        environment = {**os.environ, "NOTIFY_SOCKET": str(path)}
        command = [AGENT, "run", "--config", str(tmp_path / "node/agent.toml")]
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
            ready = listener.recv(1000).decode()
            process.send_signal(signal.SIGTERM)
            stopping = listener.recv(1000).decode()
            _, log = process.communicate(timeout=30)
    other.close()

    assert ready.startswith("READY=1\n")
    assert stopping == "STOPPING=1"
    assert process.returncode == 0, log


def test_an_executor_that_cannot_start_ends_and_says_why(workshop: Workshop, tmp_path: Path) -> None:
    other = RealNode(workshop, tmp_path / "node", redis_url="http://not-a-redis")
    (tmp_path / "node/run").mkdir(exist_ok=True)
    facts = {"slot": "A", "boot_id": "x", "booted_at": 0.0, "version": "1.0.0", "architecture": "x86_64"}
    (tmp_path / "node/run/boot.json").write_text(json.dumps(facts))
    command = [AGENT, "run", "--config", str(other.folder / "agent.toml")]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 2
    assert "cannot use Redis address 'http://not-a-redis'" in done.stderr


def test_the_idle_executor_is_small_and_quiet(node: RealNode) -> None:
    wait_until(lambda: node.machine.pid is not None, "the executor")
    process = psutil.Process(node.machine.pid)

    busy = process.cpu_percent(interval=3)  # percent of one core
    size = process.memory_full_info()
    print(f"executor: {size.rss / 1e6:.0f} MB RSS, {size.uss / 1e6:.0f} MB of its own, {busy:.1f} % of a core")  # noqa: T201
    assert size.rss < 100e6
    assert busy < 5
