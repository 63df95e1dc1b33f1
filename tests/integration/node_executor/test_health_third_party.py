"""A package of somebody else, installed by pip, adds a health check without any change of ours (requirement H1)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parents[2] / "plugins" / "acme_checks"

#: What a node does, in a process that was started after the package was installed.
ASK = """
import sys
from node_executor.health import BUILT_IN, CheckContext, CheckSettings, HealthChecker, plan_checks
settings = {name: CheckSettings(enabled=False) for name in BUILT_IN}
if sys.argv[1]:
    settings["acme-lock"] = CheckSettings(options={"path": sys.argv[1]})
context = CheckContext(uptime=lambda: 42.0, executor_alive=lambda: True, api_address="127.0.0.1:1")
print(HealthChecker(plan_checks(settings), context).once().model_dump_json())
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that the package was installed into."""
    folder = tmp_path_factory.mktemp("acme")
    source = shutil.copytree(SOURCE, folder / "source")
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(folder / "site"), str(source)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return folder / "site"


def ask(site: Path | None, lock: Path | None) -> dict[str, Any]:
    path = [str(site)] if site else []
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*path, str(SOURCE.parents[2])])}
    command = [sys.executable, "-c", ASK, str(lock or "")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=60)
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return report


def test_an_installed_check_is_asked_and_decides(site: Path, tmp_path: Path) -> None:
    lock = tmp_path / "belt.lock"
    lock.touch()

    there, gone = ask(site, lock), ask(site, tmp_path / "no.lock")

    assert (there["verdict"], there["checks"][0]["message"]) == ("healthy", "the belt runs after 42 s")
    assert (gone["verdict"], gone["checks"][0]["critical"]) == ("unhealthy", True)


def test_an_installed_check_without_its_options_is_undecided(site: Path) -> None:
    report = ask(site, None)

    assert [(line["name"], line["verdict"]) for line in report["checks"]] == [("acme-lock", "undecided")]
    assert "KeyError: 'path'" in report["checks"][0]["message"]


def test_a_check_that_the_settings_name_but_nobody_installed_is_undecided(tmp_path: Path) -> None:
    report = ask(None, tmp_path / "belt.lock")

    assert report["checks"][0]["message"] == "no installed package offers a health check of this name"
    assert report["verdict"] == "unhealthy"
