"""The few questions that a local fleet asks its controller while it is built: over gRPC, for there are many of them.

One osctl per question would take half a second of a core each; a hundred nodes make hundreds of questions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from shared.proto import fleet_pb2 as pb
from shared.proto.fleet_pb2_grpc import FleetServiceStub
from shared.tls import TlsFiles, open_channel

#: Seconds for one answer.
_PATIENCE = 10.0


class Registry:
    """The controller's list of nodes."""

    def __init__(self, address: str, tls_dir: Path) -> None:
        """Remember whom to ask; nothing is opened yet."""
        self._address = address
        self._files = TlsFiles.from_folder(tls_dir)

    @contextmanager
    def _stub(self) -> Iterator[FleetServiceStub]:
        # A channel for each question: one that has seen its server die takes its time to try again.
        with open_channel(self._address, self._files) as channel:
            yield FleetServiceStub(channel)

    def answers(self) -> bool:
        """Whether the controller answers."""
        try:
            with self._stub() as stub:
                stub.GetVersion(pb.GetVersionRequest(), timeout=_PATIENCE)
        except grpc.RpcError:
            return False
        return True

    def add(self, nodes: list[pb.RegisterNodeRequest]) -> None:
        """Register nodes.

        Raises:
            grpc.RpcError: the controller refuses one, or does not answer.
        """
        with self._stub() as stub:
            for node in nodes:
                stub.RegisterNode(node, timeout=_PATIENCE)

    def versions(self) -> dict[str, str]:
        """Return the version of each node that has reported so far; none while the controller is away."""
        try:
            with self._stub() as stub:
                listed = stub.ListNodes(pb.ListNodesRequest(), timeout=_PATIENCE).nodes
        except grpc.RpcError:
            return {}
        return {node.id: node.facts.version for node in listed if node.facts.boot_id}
