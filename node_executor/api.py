"""The node's gRPC service (requirement S4): thin, one method a call; the desk does the work.

Only controllers and users may call it. Health checking (grpc.health.v1) is for any certificate of the fleet: the node
asks itself that way. Reflection is for users and controllers.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from node_executor.desk import Desk
from node_executor.health_book import MOST_WAITING, HealthBook
from node_executor.records import Record
from node_executor.state import NodeState
from shared import wire
from shared.errors import InputError, NodeError
from shared.proto import common_pb2, node_pb2_grpc
from shared.proto import node_pb2 as pb
from shared.tls import ANYBODY, SERVER_OPTIONS, Role, TlsFiles, require_role, server_credentials

_SERVICE = pb.DESCRIPTOR.services_by_name["NodeService"].full_name
_ASKERS = frozenset({Role.CONTROLLER, Role.USER})
#: Calls that are worked on at the same time: people and one controller ask a node, not crowds. Those who wait for
#: health must leave some free: the check ``api`` calls this very service.
_THREADS = 2 * MOST_WAITING


class NodeService(node_pb2_grpc.NodeServiceServicer):
    """Implements ``maticos.v1.NodeService``. Every error leaves through ``wire.ErrorInterceptor``."""

    def __init__(self, state: NodeState, desk: Desk, health_book: HealthBook) -> None:
        self._state = state
        self._desk = desk
        self._health = health_book

    def ScheduleUpdate(  # noqa: N802 - gRPC's name
        self, request: pb.ScheduleUpdateRequest, context: grpc.ServicerContext
    ) -> pb.ScheduleUpdateResponse:
        """Journal an update of this node."""
        del context
        record = self._desk.schedule(wire.update_from_proto(request.update), request.idempotency_key)
        return pb.ScheduleUpdateResponse(schedule=self._shown(record))

    def GetScheduleStatus(  # noqa: N802
        self, request: pb.GetScheduleStatusRequest, context: grpc.ServicerContext
    ) -> pb.GetScheduleStatusResponse:
        """Return one schedule."""
        del context
        return pb.GetScheduleStatusResponse(schedule=self._shown(self._desk.status(request.schedule_id)))

    def CancelSchedule(  # noqa: N802
        self, request: pb.CancelScheduleRequest, context: grpc.ServicerContext
    ) -> pb.CancelScheduleResponse:
        """Withdraw an update that has not switched; the answer says whether that was in time."""
        del context
        answer, record = self._desk.cancel(request.schedule_id, request.reason)
        return pb.CancelScheduleResponse(answer=answer, schedule=self._shown(record) if record else None)

    def ListSchedules(  # noqa: N802
        self, request: pb.ListSchedulesRequest, context: grpc.ServicerContext
    ) -> pb.ListSchedulesResponse:
        """Return schedules, newest first."""
        del context
        return pb.ListSchedulesResponse(schedules=map(self._shown, self._desk.schedules(_limit(request.limit))))

    def GetHealth(self, request: pb.GetHealthRequest, context: grpc.ServicerContext) -> pb.GetHealthResponse:  # noqa: N802
        """Return the last health report if it is not old, or ask now."""
        del context
        report = self._health.report(fresh=request.fresh)
        facts = self._state.known_facts()
        return pb.GetHealthResponse(
            report=wire.health_to_proto(report), facts=wire.facts_to_proto(facts) if facts else None
        )

    def TriggerRollback(  # noqa: N802
        self, request: pb.TriggerRollbackRequest, context: grpc.ServicerContext
    ) -> pb.TriggerRollbackResponse:
        """Go back to the other slot. Returns when that is durable, just before the reboot."""
        del context
        record = self._desk.trigger_rollback(request.reason)
        slot = record.target_slot.other() if record.target_slot else "other"
        return pb.TriggerRollbackResponse(
            message=f"Rollback to slot {slot} has begun. The system will reboot.", schedule_id=record.id
        )

    def GetRollbackHistory(  # noqa: N802
        self, request: pb.GetRollbackHistoryRequest, context: grpc.ServicerContext
    ) -> pb.GetRollbackHistoryResponse:
        """Return the rollback history, oldest first; with a limit the newest ones."""
        del context
        with self._state.changed:
            history = self._state.book.state.history
        limit = _limit(request.limit)
        shown = history[-limit:] if limit else history
        node_id = self._state.config.node_id
        return pb.GetRollbackHistoryResponse(records=[wire.rollback_to_proto(entry, node_id) for entry in shown])

    def _shown(self, record: Record) -> common_pb2.Schedule:
        return wire.schedule_to_proto(record.as_schedule(self._state.config.node_id))


def _limit(value: int) -> int:
    if value < 0:
        raise InputError(f"cannot list: limit {value} is negative", cure="use 0 for all")
    return value


class ApiServer:
    """The gRPC server of one node."""

    def __init__(self, service: NodeService, listen: str, tls: TlsFiles) -> None:
        """Bind ``listen``; nothing is answered before ``start``.

        Raises:
            NodeError: the address is taken or not ours.
            TlsError: a certificate file cannot be used.
        """
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="api")
        allowed = {
            _SERVICE: _ASKERS,
            health.SERVICE_NAME: ANYBODY,
            reflection.SERVICE_NAME: _ASKERS,
        }
        self._server = grpc.server(
            self._pool, interceptors=[require_role(allowed), wire.ErrorInterceptor()], options=SERVER_OPTIONS
        )
        node_pb2_grpc.add_NodeServiceServicer_to_server(service, self._server)
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)
        host, _, _ = listen.rpartition(":")
        try:
            port = self._server.add_secure_port(listen, server_credentials(tls))
        except RuntimeError as error:
            raise NodeError(
                f"cannot listen on {listen}: {error}", cure="end the program that holds the port, or set `listen`"
            ) from error
        self.address = f"{host}:{port}"

    def start(self) -> None:
        """Answer calls."""
        self._server.start()
        for name in ("", _SERVICE):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def stop(self, grace: float = 1.0) -> None:
        """Refuse new calls, and give running ones ``grace`` seconds."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace).wait()
        self._pool.shutdown(wait=False)
