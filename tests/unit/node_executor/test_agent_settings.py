"""Settings of the executor: from the file, over it the environment; what is wrong is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from node_executor.settings import load
from shared.errors import InputError

GOOD = """
node_id = "gw-1"
disk = "/dev/sda"
tls_dir = "/etc/matic/tls"
[health.service.options]
units = ["app.service"]
[health.network]
enabled = false
"""


def settings_file(folder: Path, text: str) -> Path:
    file = folder / "agent.toml"
    file.write_text(text)
    return file


def test_defaults_are_those_of_a_real_node(tmp_path: Path) -> None:
    settings = load(settings_file(tmp_path, GOOD))

    assert settings.state_dir == Path("/var/lib/matic")
    assert settings.listen.endswith(":50051")
    assert (settings.redis_url, settings.boot_file, settings.hold_dir) == (None, None, None)
    assert settings.health["service"].options == {"units": ["app.service"]}
    assert not settings.health["network"].enabled


def test_the_environment_comes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATIC_NODE_ID", "gw-2")
    monkeypatch.setenv("MATIC_FLASH__ATTEMPTS", "3")

    settings = load(settings_file(tmp_path, GOOD))

    assert (settings.node_id, settings.flash.attempts) == ("gw-2", 3)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param(GOOD.replace("gw-1", "GW 1"), "node_id", id="node-id"),
        pytest.param("colour = 1\n" + GOOD, "colour", id="unknown-name"),
        pytest.param(GOOD.replace('disk = "/dev/sda"', ""), "disk", id="missing"),
        pytest.param("transport_tries = 0\n" + GOOD, "transport_tries", id="out-of-range"),
        pytest.param("this is not TOML", "TOML", id="not-toml"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(InputError) as caught:
        load(settings_file(tmp_path, text))

    assert named in f"{caught.value.message} {caught.value.cure}"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "agent.toml")
