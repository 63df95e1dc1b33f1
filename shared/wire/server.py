"""The server's side of errors: whatever a handler raises leaves as one well-formed status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn

import grpc
import structlog
from pydantic import ValidationError

from shared.errors import FleetError
from shared.messages import new_id
from shared.wire.models import invalid
from shared.wire.status import ERROR_METADATA_KEY, detail_of, status_code

_log: Final[Any] = structlog.get_logger("maticos.rpc")


def abort(context: grpc.ServicerContext, error: FleetError) -> NoReturn:
    """End the call with ``error``: code, message, and the detail that rebuilds it on the other side."""
    detail = detail_of(error)
    context.set_trailing_metadata(((ERROR_METADATA_KEY, detail.SerializeToString()),))
    context.abort(status_code(error), detail.message)


class ErrorInterceptor(grpc.ServerInterceptor):
    """Turns what unary handlers raise into a status.

    A ``FleetError`` keeps its kind, message and cure; pydantic's ``ValidationError`` becomes an ``InputError`` that
    names field and value; anything else is a bug: INTERNAL for the caller, the traceback in the log under an id that
    both sides see. Streams (health watch, reflection) pass untouched.
    """

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wrap the method's handler, if it is a unary one."""
        handler = continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            _guarded(handler.unary_unary, str(handler_call_details.method)),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def _guarded(
    behaviour: Callable[[Any, grpc.ServicerContext], Any], method: str
) -> Callable[[Any, grpc.ServicerContext], Any]:
    def handle(request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401 - any message
        try:
            return behaviour(request, context)
        except FleetError as error:
            _log.info("call refused", method=method, kind=error.kind, error=error.message)
            abort(context, error)
        except ValidationError as error:
            refusal = invalid(error, "request")
            _log.info("call refused", method=method, kind=refusal.kind, error=refusal.message)
            abort(context, refusal)
        except Exception as error:
            if getattr(context, "code")() is not None:  # noqa: B009 - the type stubs lack ServicerContext.code
                raise  # the handler aborted by itself: gRPC signals that by an exception
            reference = new_id()
            _log.exception("call failed", method=method, reference=reference)
            message = f"the server met an unexpected {type(error).__name__} in {method}"
            abort(context, FleetError(message, cure=f"look for {reference} in the server's log and report it"))

    return handle
