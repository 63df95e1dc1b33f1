"""Check ``api`` over real mutual TLS, with the node's own certificate."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from node_executor.health import CheckContext, CheckOutcome
from node_executor.health.checks.api import ApiCheck
from shared.pki import DevelopmentCa
from shared.states import Verdict
from shared.tls import Role
from tests.support.certs import HEALTH_SERVICE, expired, grpc_server, old_ca
from tests.support.checks import context


def ask(about: CheckContext) -> CheckOutcome:
    return asyncio.run(ApiCheck({}).check(about))


def test_api_is_healthy_when_the_service_says_that_it_serves(tmp_path: Path) -> None:
    node = DevelopmentCa.create(tmp_path / "ca").issue(Role.NODE, "n1")

    with grpc_server(node, {HEALTH_SERVICE: {Role.NODE}}) as address:
        outcome = ask(context(api_address=address, tls=node))

    assert outcome == CheckOutcome.healthy(f"{address} serves")


def test_api_names_the_refusal_of_a_service_that_answers(tmp_path: Path) -> None:
    node = DevelopmentCa.create(tmp_path / "ca").issue(Role.NODE, "n1")

    with grpc_server(node, {}) as address:
        outcome = ask(context(api_address=address, tls=node))

    assert outcome.verdict is Verdict.UNHEALTHY
    assert "answers PERMISSION_DENIED" in outcome.message


@pytest.mark.parametrize("trouble", ["network", "expired", "key"])
def test_api_says_why_the_service_does_not_answer(trouble: str, tmp_path: Path) -> None:
    ca = old_ca(tmp_path / "ca")
    node = ca.issue(Role.NODE, "n1")
    about = {
        "network": node,
        "expired": expired(ca, Role.NODE, "n2"),
        "key": replace(node, key=ca.issue(Role.NODE, "n3").key),
    }[trouble]
    message = {"network": "nothing listens there", "expired": "it expired on", "key": "it belongs to another"}[trouble]

    with grpc_server(node) as address:
        outcome = ask(context(api_address="127.0.0.1:1" if trouble == "network" else address, tls=about))

    assert outcome.verdict is Verdict.UNHEALTHY
    assert message in outcome.message
