"""Fixtures that every kind of test shares. Services are real; a missing one is a failure in CI, never a skip there."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from deploy.local.embedded_redis import RedisServer, find_server
from shared.errors import NotFoundError
from tests.support.figures import pytest_terminal_summary
from tests.support.store_fixtures import database, postgres_server, store

__all__ = ["database", "postgres_server", "pytest_terminal_summary", "redis_server", "redis_url", "store"]


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A running server of this test alone, on a unix socket, empty and without persistence."""
    try:
        program = find_server()
    except NotFoundError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    with RedisServer(program=program) as server:
        yield server


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The address of ``redis_server`` in redis-py's form."""
    return redis_server.url
