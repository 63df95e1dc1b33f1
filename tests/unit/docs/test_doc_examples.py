"""Examples that are no commands: settings load, classes fit, program texts can be read."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from controller.settings import load as load_controller
from node_executor.health import HealthCheck
from node_executor.settings import load as load_agent
from shared.errors import all_errors
from shared.proto import fleet_pb2, node_pb2
from shared.wire import status_code
from shared.wire.status import ERROR_METADATA_KEY
from tests.support.documents import PAGES, blocks, name_of

API = next(page for page in PAGES if page.name == "health-and-rollback.md")
OPERATE = next(page for page in PAGES if page.name == "operate.md")
TOML = {next(iter(tomllib.loads(block))): block for block in blocks(OPERATE, "toml")}


def test_the_settings_of_a_node_are_valid(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(TOML["node_id"])

    settings = load_agent(file)

    assert settings.node_id == "belt-17"
    assert settings.health["network"].critical is True


def test_the_settings_of_a_controller_are_valid(tmp_path: Path) -> None:
    file = tmp_path / "controller.toml"
    file.write_text(TOML["database_url"])

    settings = load_controller(file)

    assert settings.redis_url.startswith("rediss://")


def test_the_health_check_of_a_third_party_is_one(tmp_path: Path) -> None:
    (example,) = blocks(OPERATE, "python")
    names: dict[str, type[HealthCheck]] = {}

    exec(example, names)  # noqa: S102 - the documentation's own text

    check = names["LockFileCheck"]({"path": str(tmp_path)})  # type: ignore[call-arg]
    assert isinstance(check, HealthCheck)
    assert "project" in TOML


def test_the_api_page_names_every_call_and_every_status() -> None:
    text = API.read_text()

    services = (node_pb2.DESCRIPTOR.services_by_name, fleet_pb2.DESCRIPTOR.services_by_name)
    calls = {method.name for found in services for service in found.values() for method in service.methods}
    statuses = {status_code(cls()).name for cls in all_errors().values()}
    assert len(calls) == 17
    assert [name for name in sorted(calls | statuses) if f"`{name}`" not in text] == []
    assert f"`{ERROR_METADATA_KEY}`" in text


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_python_examples_can_be_read(page: Path) -> None:
    trees = [ast.parse(block) for block in blocks(page, "python")]

    assert all(tree.body for tree in trees)
