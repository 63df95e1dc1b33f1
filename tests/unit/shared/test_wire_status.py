"""Every error crosses a real gRPC call and comes back as itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from shared import errors, wire
from shared.errors import FleetError
from shared.messages import HealthPolicy
from shared.proto import common_pb2 as pb

Raiser = Callable[[], None]
Call = Callable[[Raiser], FleetError]


@pytest.fixture
def call(tmp_path: Path) -> Iterator[Call]:
    """Return a function that lets a server handler raise, and gives what its client gets back."""
    todo: list[Raiser] = []

    def behave(_request: pb.Image, context: grpc.ServicerContext) -> pb.Image:
        del context
        todo.pop()()
        return pb.Image()

    handler = grpc.unary_unary_rpc_method_handler(
        behave, request_deserializer=pb.Image.FromString, response_serializer=pb.Image.SerializeToString
    )
    server = grpc.server(ThreadPoolExecutor(1), interceptors=[wire.ErrorInterceptor()])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("t.T", {"Do": handler}),))
    address = f"unix:{tmp_path}/s"
    server.add_insecure_port(address)
    server.start()
    with grpc.insecure_channel(address) as channel:
        do: Any = channel.unary_unary("/t.T/Do", pb.Image.SerializeToString, pb.Image.FromString)

        def ask(raiser: Raiser) -> FleetError:
            todo.append(raiser)
            with pytest.raises(grpc.RpcError) as caught:
                do(pb.Image(), timeout=20)
            return wire.error_from_rpc(caught.value)

        yield ask
    server.stop(0).wait()


def _raise(error: Exception) -> Raiser:
    def raiser() -> None:
        raise error

    return raiser


@pytest.mark.parametrize("kind", sorted(errors.all_errors()))
def test_every_kind_of_error_comes_back_as_its_own_class(call: Call, kind: str) -> None:
    sent = errors.all_errors()[kind]("cannot flash slot B: größer als gedacht", cure="use a smaller image")

    back = call(_raise(sent))

    assert type(back) is type(sent)
    assert (back.message, back.cure, back.retriable) == (sent.message, sent.cure, sent.retriable)


def test_every_family_names_a_code_that_is_no_success() -> None:
    codes = {kind: wire.status_code(cls()) for kind, cls in errors.all_errors().items()}

    assert grpc.StatusCode.OK not in codes.values()
    assert codes["digest_mismatch"] is codes["image_refused"] is grpc.StatusCode.FAILED_PRECONDITION
    assert codes["already_exists"] is grpc.StatusCode.ALREADY_EXISTS
    assert codes["tls_refused"] is grpc.StatusCode.UNAVAILABLE


def test_a_validation_error_comes_back_as_input_error_with_field_and_value(call: Call) -> None:
    def refuse() -> None:
        HealthPolicy.model_validate({"timeout": -5})

    back = call(refuse)

    assert type(back) is errors.InputError
    assert "timeout -5:" in back.message


def test_a_bug_comes_back_as_internal_and_is_logged_under_the_same_reference(call: Call) -> None:
    with capture_logs() as logs:
        back = call(_raise(ZeroDivisionError("secret detail")))

    assert type(back) is FleetError
    assert "ZeroDivisionError in /t.T/Do" in back.message
    assert "secret detail" not in back.message
    [failure] = [line for line in logs if line["log_level"] == "error"]
    assert failure["reference"] in back.cure


def test_texts_too_long_for_metadata_are_cut_and_still_arrive(call: Call) -> None:
    back = call(_raise(errors.ConflictError("ä" * 100_000, cure="ö" * 100_000)))

    assert type(back) is errors.ConflictError
    assert back.message.startswith("äää")
    assert back.cure.startswith("ööö")


def test_a_bare_status_falls_back_to_the_codes_family(tmp_path: Path) -> None:
    with grpc.insecure_channel(f"unix:{tmp_path}/nobody-listens") as channel:
        do: Any = channel.unary_unary("/t.T/Do", pb.Image.SerializeToString, pb.Image.FromString)
        with pytest.raises(grpc.RpcError) as caught:
            do(pb.Image(), timeout=20)

    back = wire.error_from_rpc(caught.value)

    assert type(back) is errors.TransportError
    assert "UNAVAILABLE" in back.message


def test_a_call_that_the_server_does_not_know_points_to_the_context(tmp_path: Path) -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_insecure_port(f"unix:{tmp_path}/s")
    server.start()
    with grpc.insecure_channel(f"unix:{tmp_path}/s") as channel:
        do: Any = channel.unary_unary("/t.T/Other", pb.Image.SerializeToString, pb.Image.FromString)
        with pytest.raises(grpc.RpcError) as caught:
            do(pb.Image(), timeout=20)
    server.stop(0).wait()

    back = wire.error_from_rpc(caught.value)

    assert type(back) is errors.InputError
    assert "controller or node" in back.cure
