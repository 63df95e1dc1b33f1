"""FleetService over mTLS: who may call, who is written down, what is refused, and what tools find."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from controller.api import translate
from controller.rollout.model import Policy, WavePlan
from shared.errors import FleetError, InputError, NotAllowedError, NotFoundError
from shared.pki import DevelopmentCa
from shared.proto import common_pb2
from shared.proto import fleet_pb2 as pb
from shared.states import CancelAnswer, TargetState
from shared.tls import TlsFiles
from shared.wire import error_from_rpc
from tests.support.fleet_server import FleetServer

_UPDATE = common_pb2.UpdateSpec(image=common_pb2.Image(source="http://h/i", sha256="a" * 64, version="2.0"))
_ALL = pb.Targets(all=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FleetServer]:
    """A running API with nodes n1 and n2."""
    running = FleetServer(tmp_path)
    running.register("n1", labels={"site": "berlin"})
    running.register("n2")
    yield running
    running.close()


@pytest.fixture
def channel(server: FleetServer) -> Iterator[grpc.Channel]:
    """A connection as user alice."""
    with server.channel() as opened:
        yield opened


def _refusal(caught: pytest.ExceptionInfo[grpc.RpcError]) -> FleetError:
    return error_from_rpc(caught.value)


def test_the_callers_certificate_is_the_actor_of_the_audit_trail(server: FleetServer, channel: grpc.Channel) -> None:
    request = pb.CreateRolloutRequest(name="spring", targets=_ALL, update=_UPDATE)

    rollout = server.stub(channel).CreateRollout(request, timeout=20).rollout

    assert rollout.created_by == "user/alice"
    with server.store.snapshot() as tx:
        assert [entry.actor for entry in tx.audit.list(action="rollout.create")] == ["user/alice"]
    assert server.woken > 0


@pytest.mark.parametrize("role", ["node", "controller"])
def test_nodes_may_not_call_the_fleet_and_controllers_may(server: FleetServer, role: str) -> None:
    files = server.ca.issue(role, "n9")

    with server.channel(files) as opened:
        if role == "controller":
            assert len(server.stub(opened).ListNodes(pb.ListNodesRequest(), timeout=20).nodes) == 2
            return
        with pytest.raises(grpc.RpcError) as caught:
            server.stub(opened).ListNodes(pb.ListNodesRequest(), timeout=20)

    assert isinstance(_refusal(caught), NotAllowedError)
    assert "node n9" in _refusal(caught).message


def test_a_certificate_of_another_ca_gets_no_connection(server: FleetServer, tmp_path: Path) -> None:
    stranger = DevelopmentCa.create(tmp_path / "other").issue("user", "alice")
    mixed = TlsFiles(ca=server.user.ca, cert=stranger.cert, key=stranger.key)

    with server.channel(mixed) as opened, pytest.raises(grpc.RpcError) as caught:
        server.stub(opened).ListNodes(pb.ListNodesRequest(), timeout=20)

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_an_update_of_chosen_nodes_can_be_looked_up_and_withdrawn(server: FleetServer, channel: grpc.Channel) -> None:
    stub = server.stub(channel)
    request = pb.FleetScheduleUpdateRequest(targets=pb.Targets(selector="site=berlin"), update=_UPDATE)

    answer = stub.ScheduleUpdate(request, timeout=20)
    [schedule] = answer.schedules
    found = stub.GetScheduleStatus(pb.FleetGetScheduleStatusRequest(schedule_id=schedule.id), timeout=20).schedule
    cancelled = stub.CancelSchedule(pb.FleetCancelScheduleRequest(schedule_id=schedule.id), timeout=20)
    listed = stub.ListSchedules(pb.FleetListSchedulesRequest(), timeout=20).schedules

    assert (schedule.node_id, schedule.state, found.id) == ("n1", "Pending", schedule.id)
    assert cancelled.answer in (CancelAnswer.STOPPED, "pending")
    assert [each.id for each in listed] == [schedule.id]
    assert answer.rollout_id == schedule.rollout_id


def test_a_rollout_is_shown_with_targets_only_where_they_are_asked_for(
    server: FleetServer, channel: grpc.Channel
) -> None:
    stub = server.stub(channel)
    policy = pb.Policy(waves=[pb.WavePlan(count=1, soak_seconds=5), pb.WavePlan(percent=100)], max_failed=1)

    made = stub.CreateRollout(
        pb.CreateRolloutRequest(name="two", targets=_ALL, update=_UPDATE, policy=policy), timeout=20
    ).rollout
    [listed] = stub.ListRollouts(pb.ListRolloutsRequest(), timeout=20).rollouts
    got = stub.GetRollout(pb.GetRolloutRequest(id=made.id), timeout=20).rollout

    assert not made.targets
    assert not listed.targets
    assert [target.wave for target in got.targets] == [1, 2]
    assert [wave.soak_seconds for wave in got.waves] == [5, 0]
    assert sum(got.counts.values()) == 2
    assert got.policy.max_failed == 1
    assert got.update.image.version == "2.0"


def test_a_rollout_is_paused_resumed_and_aborted(server: FleetServer, channel: grpc.Channel) -> None:
    stub = server.stub(channel)
    made = stub.CreateRollout(pb.CreateRolloutRequest(name="two", targets=_ALL, update=_UPDATE), timeout=20).rollout
    request = pb.ChangeRolloutRequest(id=made.id, reason="lunch")

    states = [
        stub.PauseRollout(request, timeout=20).rollout.state,
        stub.ResumeRollout(request, timeout=20).rollout.state,
        stub.AbortRollout(request, timeout=20).rollout.state,
    ]

    assert states == ["paused", "running", "aborted"]


def test_the_history_of_the_fleet_names_its_nodes(server: FleetServer, channel: grpc.Channel) -> None:
    server.rolled_back("n2", "Health checks failed", hour=2)
    server.rolled_back("n1", "Health checks failed", hour=1)

    whole = server.stub(channel).GetRollbackHistory(pb.FleetGetRollbackHistoryRequest(), timeout=20).records
    some = server.stub(channel).GetRollbackHistory(
        pb.FleetGetRollbackHistoryRequest(targets=pb.Targets(nodes=["n2"])), timeout=20
    )

    assert [record.node_id for record in whole] == ["n1", "n2"]
    assert [record.node_id for record in some.records] == ["n2"]


def test_a_rollback_is_ordered_for_each_chosen_node(server: FleetServer, channel: grpc.Channel) -> None:
    request = pb.FleetTriggerRollbackRequest(targets=_ALL, reason="Application crash")

    answer = server.stub(channel).TriggerRollback(request, timeout=20)

    assert list(answer.nodes) == ["n1", "n2"]
    assert len(set(answer.order_ids)) == 2
    assert "2 nodes" in answer.message


@pytest.mark.parametrize(
    ("method", "request_message", "family", "named"),
    [
        pytest.param(
            "ScheduleUpdate", pb.FleetScheduleUpdateRequest(update=_UPDATE), InputError, "choose nodes", id="no targets"
        ),
        pytest.param(
            "ScheduleUpdate", pb.FleetScheduleUpdateRequest(targets=_ALL), InputError, "image.source", id="no image"
        ),
        pytest.param(
            "CreateRollout",
            pb.CreateRolloutRequest(targets=_ALL, update=_UPDATE, policy=pb.Policy(waves=[pb.WavePlan(percent=-1)])),
            InputError,
            "-1 %",
            id="wave",
        ),
        pytest.param(
            "CreateRollout",
            pb.CreateRolloutRequest(targets=_ALL, update=_UPDATE, policy=pb.Policy(max_failed_percent=101)),
            InputError,
            "max_failed_percent 101",
            id="threshold",
        ),
        pytest.param(
            "ListNodes", pb.ListNodesRequest(targets=pb.Targets(selector="a b")), InputError, "'a b'", id="selector"
        ),
        pytest.param("ListSchedules", pb.FleetListSchedulesRequest(limit=-1), InputError, "limit -1", id="limit"),
        pytest.param("GetNode", pb.GetNodeRequest(id="n7"), NotFoundError, "n7", id="unknown node"),
        pytest.param("GetRollout", pb.GetRolloutRequest(id="r7"), NotFoundError, "r7", id="unknown rollout"),
    ],
)
def test_a_wrong_request_is_refused_by_what_is_wrong_with_it(
    server: FleetServer, method: str, request_message: object, family: type, named: str
) -> None:
    with server.channel() as channel, pytest.raises(grpc.RpcError) as caught:
        getattr(server.stub(channel), method)(request_message, timeout=20)

    error = _refusal(caught)
    assert type(error) is family
    assert named in error.message


def test_health_checkers_and_reflection_find_the_service(channel: grpc.Channel) -> None:
    service = "maticos.v1.FleetService"
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)

    status = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service), timeout=20)  # type: ignore[attr-defined]  # the stub package names no calls
    [answer] = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=20)  # type: ignore[operator]  # likewise

    assert status.status == health_pb2.HealthCheckResponse.SERVING
    assert service in {each.name for each in answer.list_services_response.service}


def test_a_nodes_turn_is_shown_with_its_outcome(server: FleetServer, channel: grpc.Channel) -> None:
    stub = server.stub(channel)
    answer = stub.ScheduleUpdate(
        pb.FleetScheduleUpdateRequest(targets=pb.Targets(nodes=["n1"]), update=_UPDATE), timeout=20
    )
    server.turn(answer.rollout_id, TargetState.ROLLED_BACK, "unhealthy", "api did not answer")

    [target] = stub.GetRollout(pb.GetRolloutRequest(id=answer.rollout_id), timeout=20).rollout.targets

    assert (target.state, target.error_kind, target.reason) == ("rolled_back", "unhealthy", "api did not answer")


def test_a_policy_survives_the_wire() -> None:
    policy = Policy(
        waves=(WavePlan(count=1, soak=60), WavePlan(percent=25), WavePlan(percent=100)),
        max_failed_percent=5,
        min_finished=4,
        max_failed=0,
        max_in_flight=3,
        accept_deadline=60,
        finish_deadline=61,
    )

    assert translate.policy_from_proto(translate.policy_to_proto(policy)) == policy
    assert translate.policy_from_proto(pb.Policy()) == Policy()
