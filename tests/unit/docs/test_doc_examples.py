"""Examples that are no commands: settings load, classes fit, program texts can be read."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from controller.settings import load as load_controller
from node_executor.health import HealthCheck
from node_executor.settings import load as load_agent
from tests.support.documents import PAGES, blocks, name_of

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


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_python_examples_can_be_read(page: Path) -> None:
    trees = [ast.parse(block) for block in blocks(page, "python")]

    assert all(tree.body for tree in trees)
