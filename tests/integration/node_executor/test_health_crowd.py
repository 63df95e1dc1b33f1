"""Many who ask a node for its health at once, over real mutual TLS; its own API check needs an answer meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import grpc

from deploy.local.fleet import free_ports
from deploy.local.simulated import SimulatedNode
from node_executor.api import ApiServer, NodeService
from node_executor.health.checks.api import ApiCheck
from node_executor.health_book import HealthBook
from shared.pki import DevelopmentCa
from shared.proto import node_pb2, node_pb2_grpc
from shared.tls import Role, TlsFiles, open_channel
from tests.support.checks import checker, context, plan

CROWD = 24


@contextmanager
def node_api(files: TlsFiles) -> Iterator[str]:
    """Serve a node's API whose only health check is that the API answers; yield its address."""
    node = SimulatedNode()
    address = f"127.0.0.1:{free_ports(1)[0]}"
    probe = checker(plan("api", ApiCheck({})), about=context(api_address=address, tls=files))
    server = ApiServer(NodeService(node.state, node.desk, HealthBook(probe)), address, files)
    server.start()
    try:
        yield address
    finally:
        server.stop(grace=0)


def test_a_crowd_that_asks_for_health_does_not_make_the_node_look_ill(tmp_path: Path) -> None:
    ca = DevelopmentCa.create(tmp_path / "ca")
    admin = ca.issue(Role.USER, "admin")

    with node_api(ca.issue(Role.NODE, "n1")) as address, closing(open_channel(address, admin)) as channel:
        stub = node_pb2_grpc.NodeServiceStub(channel)
        request = node_pb2.GetHealthRequest(fresh=True)
        calls = [stub.GetHealth.future(request, timeout=30) for _ in range(CROWD)]
        verdicts = [call.result().report.verdict for call in calls if call.code() is grpc.StatusCode.OK]
        refusals = {call.code() for call in calls} - {grpc.StatusCode.OK}

    assert verdicts
    assert set(verdicts) == {"healthy"}
    assert refusals <= {grpc.StatusCode.FAILED_PRECONDITION}
