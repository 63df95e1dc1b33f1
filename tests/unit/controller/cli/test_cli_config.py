"""Contexts: where they are kept, and whom a command asks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from controller.cli import config
from controller.cli.common import Common
from controller.cli.config import Config, Context
from controller.cli.endpoint import resolve
from shared.errors import InputError, NotFoundError

_LAB = Context(name="lab", kind="controller", address="controller:50050", tls_dir="/certs/alice")
_NODE = Context(name="n1", kind="node", address="n1:50051", ca="/c/ca", cert="/c/cert", key="/c/key", server_name="n1")
_BOTH = Config(current="lab", contexts={"lab": _LAB, "n1": _NODE})


def test_contexts_survive_the_file_and_its_owner_alone_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "osctl.json"

    config.save(path, _BOTH)

    assert config.load(path) == _BOTH
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["osctl.json"]


def test_a_missing_file_means_no_contexts(tmp_path: Path) -> None:
    assert config.load(tmp_path / "none.json") == Config()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{", id="no json"),
        pytest.param("[]", id="a list"),
        pytest.param("[" * 100_000, id="nested for ever"),
        pytest.param('{"contexts": {"x": {}}}', id="no address"),
        pytest.param('{"contexts": {"x": {"address": "h:1", "kind": "toaster"}}}', id="unknown kind"),
    ],
)
def test_a_file_that_cannot_be_understood_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "osctl.json"
    path.write_text(text)

    with pytest.raises(InputError) as caught:
        config.load(path)

    assert str(path) in caught.value.message
    assert str(path) in caught.value.cure


def test_fields_of_a_later_osctl_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "osctl.json"
    path.write_text(json.dumps({"current": "x", "contexts": {"x": {"address": "h:1", "colour": "blue"}}}))

    assert config.load(path).get("x").address == "h:1"


@pytest.mark.parametrize(
    ("environ", "place"),
    [
        pytest.param({"OSCTL_CONFIG": "/etc/o.json", "XDG_CONFIG_HOME": "/x"}, "/etc/o.json", id="own variable"),
        pytest.param({"XDG_CONFIG_HOME": "/x"}, "/x/matic/osctl.json", id="xdg"),
        pytest.param({}, str(Path.home() / ".config/matic/osctl.json"), id="home"),
    ],
)
def test_the_file_is_where_the_environment_says(environ: dict[str, str], place: str) -> None:
    assert config.path_in(environ) == Path(place)


def test_the_first_context_is_the_one_in_use_until_it_is_removed() -> None:
    one = Config().with_context(_LAB).with_context(_NODE)

    rest = one.without("lab")

    assert one.current == "lab"
    assert rest == Config(current="", contexts={"n1": _NODE})


def test_an_unknown_context_is_answered_with_the_known_ones() -> None:
    with pytest.raises(NotFoundError) as caught:
        resolve(Common(context="prod"), _BOTH, {}, fleet=False)

    assert caught.value.message == "cannot find context 'prod'"
    assert "lab, n1" in caught.value.cure


@pytest.mark.parametrize(
    ("common", "environ", "fleet", "kind", "address"),
    [
        pytest.param(Common(), {}, False, "controller", "controller:50050", id="current context"),
        pytest.param(
            Common(context="n1"), {"OSCTL_CONTEXT": "lab"}, False, "node", "n1:50051", id="flag over variable"
        ),
        pytest.param(Common(), {"OSCTL_CONTEXT": "n1"}, False, "node", "n1:50051", id="variable over current"),
        pytest.param(Common(address="a:1"), {}, False, "node", "a:1", id="bare address is a node"),
        pytest.param(Common(address="a:1"), {}, True, "controller", "a:1", id="targets make it a controller"),
        pytest.param(Common(address="a:1", kind="controller"), {}, False, "controller", "a:1", id="said"),
        pytest.param(
            Common(), {"OSCTL_ADDRESS": "b:2", "OSCTL_KIND": "controller"}, False, "controller", "b:2", id="env"
        ),
    ],
)
def test_flags_win_over_variables_and_those_over_contexts(
    common: Common,
    environ: dict[str, str],
    fleet: bool,  # noqa: FBT001 - a column of the table
    kind: str,
    address: str,
) -> None:
    endpoint = resolve(common, _BOTH, environ, fleet=fleet)

    assert (endpoint.kind, endpoint.address) == (kind, address)


@pytest.mark.parametrize(
    ("common", "environ", "ca"),
    [
        pytest.param(Common(), {}, "/certs/alice/ca.crt", id="folder of the context"),
        pytest.param(Common(context="n1"), {}, "/c/ca", id="files of the context"),
        pytest.param(Common(context="n1"), {"OSCTL_TLS_DIR": "/env"}, "/env/ca.crt", id="variable"),
        pytest.param(Common(tls_dir=Path("/flag")), {"OSCTL_TLS_DIR": "/env"}, "/flag/ca.crt", id="flag"),
    ],
)
def test_the_certificate_comes_from_flags_then_variables_then_the_context(
    common: Common, environ: dict[str, str], ca: str
) -> None:
    assert resolve(common, _BOTH, environ, fleet=False).files.ca == Path(ca)


def test_the_contexts_server_name_is_not_used_for_another_address() -> None:
    assert resolve(Common(context="n1"), _BOTH, {}, fleet=False).server_name == "n1"
    assert resolve(Common(context="n1", address="a:1"), _BOTH, {}, fleet=False).server_name is None


@pytest.mark.parametrize(
    ("common", "settings", "fleet", "cause"),
    [
        pytest.param(Common(), Config(), False, "no context is set", id="nobody"),
        pytest.param(Common(address="a:1"), Config(), False, "no certificate", id="no certificate"),
        pytest.param(Common(context="n1"), _BOTH, True, "it is one node", id="a fleet matter asked of a node"),
    ],
)
def test_what_is_missing_is_said_with_its_cure(common: Common, settings: Config, fleet: bool, cause: str) -> None:  # noqa: FBT001 - a column of the table
    with pytest.raises(InputError) as caught:
        resolve(common, settings, {}, fleet=fleet)

    assert cause in caught.value.message
    assert "--" in caught.value.cure


def test_a_kind_in_the_environment_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="OSCTL_KIND 'toaster'"):
        resolve(Common(), _BOTH, {"OSCTL_KIND": "toaster"}, fleet=False)
