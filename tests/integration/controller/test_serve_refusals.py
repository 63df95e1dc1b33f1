"""What keeps ``matic-controller`` from starting is said in one line, with a cure and an exit code."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest
from sqlalchemy import text

from controller.store.store import Store
from tests.support.controller_site import Site
from tests.support.postgres import PostgresServer


@pytest.fixture
def site(tmp_path: Path, redis_url: str) -> Site:
    """Settings for a controller on SQLite."""
    return Site(tmp_path, f"sqlite:///{tmp_path}/new/folder/fleet.sqlite", redis_url)


def _run(site: Site, *words: str) -> tuple[int, str]:
    done = subprocess.run(
        site.command(*words, "--config", str(site.config)), check=False, capture_output=True, text=True, timeout=60
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_a_sqlite_file_is_made_with_its_folder(site: Site) -> None:
    code, _ = _run(site, "migrate")

    store = Store(site.database_url)
    store.check()
    store.close()
    assert code == 0


def test_a_newer_schema_is_not_touched(site: Site) -> None:
    _run(site, "migrate")
    store = Store(site.database_url)
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()

    code, said = _run(site, "serve")

    assert code == 5
    assert "its schema 9999 is from a newer release" in said
    assert "cure: install that release" in said


@pytest.mark.postgres
def test_a_shared_database_is_not_migrated_behind_its_owners_back(
    tmp_path: Path, redis_url: str, postgres_server: PostgresServer
) -> None:
    site = Site(tmp_path, postgres_server.create(), redis_url)

    code, said = _run(site, "serve")

    assert (code, "cure: run matic-controller migrate" in said) == (5, True)


def test_a_taken_port_is_named(site: Site) -> None:
    with socket.create_server(("127.0.0.1", site.port)):
        code, said = _run(site, "serve")

    assert (code, f"cannot listen on {site.address}" in said) == (5, True)


def test_a_taken_metrics_port_is_named(site: Site) -> None:
    site.configure(metrics_port=site.metrics_port)
    with socket.create_server(("127.0.0.1", site.metrics_port)):
        code, said = _run(site, "serve")

    assert (code, f"cannot serve metrics on port {site.metrics_port}" in said) == (5, True)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"orders_key": "/nowhere/orders.key"}, "cannot read signing key /nowhere/orders.key: No such file"),
        ({"redis_url": "http://x"}, "cannot use Redis address"),
        ({"database_url": "mysql://x/y"}, "only sqlite and postgresql are known"),
        ({"liste": "x"}, "liste: Extra inputs are not permitted"),
    ],
    ids=["key", "redis", "database", "misspelt"],
)
def test_a_wrong_setting_is_named(site: Site, changes: dict[str, object], says: str) -> None:
    site.configure(**changes)

    code, said = _run(site, "serve")

    assert (code, says in said) == (2, True), said


def test_an_unreachable_database_is_exit_code_6(site: Site) -> None:
    site.configure(database_url=f"postgresql://nobody@/fleet?host={site.folder}")

    code, said = _run(site, "serve")

    assert (code, "cannot use the database" in said) == (6, True)
