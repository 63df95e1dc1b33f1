"""The fleet's gRPC service: mTLS in front, ``controller.fleet.Fleet`` behind, nothing but translation between.

Rules:
- One thin file per concern; each method is: message to values, one call of ``Fleet``, values to message.
- Who may call is decided once, in ``server``; the caller's identity is the actor of the audit trail.
- Errors are raised as they are; the interceptor turns them into statuses.
"""

from __future__ import annotations

from controller.api.server import bind, build_server, serve_api
from controller.api.service import FleetService

__all__ = ["FleetService", "bind", "build_server", "serve_api"]
