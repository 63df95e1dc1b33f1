"""The controller's settings: file, environment, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.settings import load
from shared.errors import InputError


def _file(folder: Path, text: str) -> Path:
    path = folder / "controller.toml"
    path.write_text(text)
    return path


def test_every_setting_has_a_default(tmp_path: Path) -> None:
    settings = load(_file(tmp_path, ""))

    assert (settings.listen, settings.metrics_port) == ("0.0.0.0:50050", None)
    assert settings.database_url.startswith("sqlite:////var/lib/")
    assert settings.signing_key == settings.tls_dir / "orders.key"


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _file(tmp_path, 'listen = "127.0.0.1:1"\nredis_url = "unix:///r"\n[intervals]\nlease = 7\ntick = 2')
    monkeypatch.setenv("MATIC_CONTROLLER_LISTEN", "127.0.0.1:2")
    monkeypatch.setenv("MATIC_CONTROLLER_INTERVALS__TICK", "0.5")

    settings = load(path)

    assert (settings.listen, settings.redis_url) == ("127.0.0.1:2", "unix:///r")
    assert (settings.intervals.tick, settings.intervals.delta("lease").total_seconds()) == (0.5, 7.0)


def test_a_signing_key_of_its_own_is_used(tmp_path: Path) -> None:
    settings = load(_file(tmp_path, 'orders_key = "/keys/orders.pem"\ntls_dir = "/tls"'))

    assert settings.signing_key == Path("/keys/orders.pem")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("listne = 'x'", "listne: Extra inputs are not permitted"),
        ("[intervals]\nlease = 0", r"intervals\.lease: Input should be greater than 0"),
        ("[intervals]\nleese = 1", r"intervals\.leese: Extra inputs are not permitted"),
        ("metrics_port = 70000", "metrics_port: Input should be less than or equal to 65535"),
        ("keep_events_days = -1", "keep_events_days: Input should be greater than 0"),
        ("listen = ", "cannot read settings"),
    ],
    ids=["misspelt", "no-lease", "misspelt-interval", "port", "negative", "not-toml"],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        load(_file(tmp_path, text))

    assert caught.value.cure.startswith("correct ")


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "nowhere.toml")
