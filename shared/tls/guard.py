"""Which role may call what: one interceptor in front of a whole gRPC server; what is not listed is refused."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

import grpc

from shared.errors import NotAllowedError
from shared.tls.identity import Role, peer_identity
from shared.wire import abort

#: Every party with a certificate of the fleet.
ANYBODY: frozenset[Role] = frozenset(Role)

#: The stubs know type arguments that the class itself does not take.
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


def _check(context: grpc.ServicerContext, method: str, roles: frozenset[Role]) -> None:
    caller = peer_identity(context)
    if caller.role not in roles:
        raise NotAllowedError(
            f"cannot call {method} as {caller}: it is for {' or '.join(sorted(roles)) or 'nobody'}",
            cure="use the certificate of an identity with that role",
        )


class _RoleGuard(grpc.ServerInterceptor):
    def __init__(self, allowed: Mapping[str, Collection[Role]]) -> None:
        self._allowed = allowed

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = continuation(handler_call_details)
        if handler is None:  # no such method: gRPC itself answers UNIMPLEMENTED
            return None
        method = handler_call_details.method.removeprefix("/")
        roles = self._allowed.get(method, self._allowed.get(method.partition("/")[0], ()))
        return self._guarded(handler, method, frozenset(roles))

    def _guarded(self, handler: Handler, method: str, roles: frozenset[Role]) -> Handler:
        kind = f"{'stream' if handler.request_streaming else 'unary'}_"
        kind += "stream" if handler.response_streaming else "unary"
        behaviour = getattr(handler, kind)

        # Wraps carries gRPC's marks over: a health watch must not hold a thread, and gets a third argument instead.
        @functools.wraps(behaviour)
        def checked(request: Any, context: grpc.ServicerContext, *more: Any) -> Any:  # noqa: ANN401 - any message
            try:
                _check(context, method, roles)
            except NotAllowedError as error:
                abort(context, error)
            return behaviour(request, context, *more)

        make: Callable[..., Handler] = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(
            checked, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
        )


def require_role(allowed: Mapping[str, Collection[Role]]) -> grpc.ServerInterceptor:
    """Return an interceptor that lets only the listed roles pass, and tells everybody else why not.

    Args:
        allowed: roles by full service name (``maticos.v1.NodeService``) or by method
            (``maticos.v1.NodeService/GetHealth``, which wins over its service); what is not listed is refused.
    """
    return _RoleGuard(dict(allowed))
