"""Reading settings: what the environment may say, and that it costs nothing when it says nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import InputError
from shared.settings import ListenAddress, SettingsModel, load_settings

_LOAD = """
import sys
from pathlib import Path
from node_executor.settings import load
print(load(Path(sys.argv[1])).compatible, "pydantic_settings" in sys.modules)
"""


class Part(SettingsModel):
    """A table."""

    left: int = 1
    right: int = 2


class Whole(SettingsModel):
    """Settings of nobody."""

    name: str
    part: Part = Part()


@pytest.mark.parametrize(
    ("variables", "printed"),
    [({"MATIC_CONFIG": "x", "MATIC": "y"}, "m1 False"), ({"MATIC_COMPATIBLE": "m2"}, "m2 True")],
    ids=["no-setting", "a-setting"],
)
def test_only_a_variable_that_names_a_setting_loads_pydantic_settings(
    tmp_path: Path, variables: dict[str, str], printed: str
) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('node_id = "n1"\ndisk = "/dev/vda"\ntls_dir = "/tls"\ncompatible = "m1"')

    done = subprocess.run(
        [sys.executable, "-c", _LOAD, str(file)],
        env={**os.environ, **variables},
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout.strip() == printed


def test_a_variable_changes_one_part_of_a_table_and_its_case_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "f.toml"
    file.write_text('name = "n"\n[part]\nleft = 5')
    monkeypatch.setenv("x_Part__Right", "7")

    found = load_settings(Whole, file, prefix="X_")

    assert found == Whole(name="n", part=Part(left=5, right=7))


def test_the_environment_alone_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_NAME", "n")

    assert load_settings(Whole, None, prefix="X_") == Whole(name="n")


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("X_PART__LEFT", "wide", r"part\.left: Input should be a valid integer"),
        ("X_PART__MIDDLE", "1", r"part\.middle: Extra inputs"),
        ("X_PART", "{", "cannot read settings"),
    ],
    ids=["type", "misspelt", "not-json"],
)
def test_a_variable_that_cannot_be_meant_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, says: str
) -> None:
    file = tmp_path / "f.toml"
    file.write_text('name = "n"')
    monkeypatch.setenv(variable, value)

    with pytest.raises(InputError, match=says):
        load_settings(Whole, file, prefix="X_")


def test_what_is_missing_is_named_with_its_source() -> None:
    with pytest.raises(InputError, match=r"cannot use settings from the environment: name: Field required"):
        load_settings(Whole, None, prefix="X_")


class Server(SettingsModel):
    """Settings of somebody who serves."""

    listen: ListenAddress


@pytest.mark.parametrize("listen", ["127.0.0.1:99999", "nowhere", "127.0.0.1:", "::1:50051"])
def test_an_address_that_cannot_be_served_is_refused(tmp_path: Path, listen: str) -> None:
    file = tmp_path / "server.toml"
    file.write_text(f'listen = "{listen}"')

    with pytest.raises(InputError, match=f"cannot use address '{listen}'") as caught:
        load_settings(Server, file, prefix="NOBODY_")

    assert caught.value.cure == "correct listen"


@pytest.mark.parametrize("listen", ["0.0.0.0:50051", "127.0.0.1:0", "[::]:50051", "node-1.lab:443"])
def test_an_address_that_can_be_served_is_taken_as_it_is(tmp_path: Path, listen: str) -> None:
    file = tmp_path / "server.toml"
    file.write_text(f'listen = "{listen}"')

    assert load_settings(Server, file, prefix="NOBODY_").listen == listen
