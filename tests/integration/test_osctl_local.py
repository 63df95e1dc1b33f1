"""What osctl does without asking anybody: contexts, certificates, the doctor, completion."""

from __future__ import annotations

import contextlib
import os
import pty
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.osctl import PROGRAM, Osctl


@pytest.fixture
def osctl(tmp_path: Path) -> Osctl:
    """Osctl of somebody who has just installed it."""
    return Osctl(tmp_path)


def test_contexts_are_set_listed_used_shown_changed_and_removed(osctl: Osctl, tmp_path: Path) -> None:
    lab = osctl("context", "set", "lab", "--address", "controller:50050", "--tls-dir", str(tmp_path))
    node = osctl("context", "set", "n1", "--kind", "node", "--address", "n1:50051", "--server-name", "n1", "-o", "json")
    listed, used = osctl("context", "list"), osctl("context", "use", "n1")
    changed = osctl("context", "set", "n1", "--address", "n1:50052", "-o", "json")
    shown, removed = osctl("context", "show"), osctl("context", "remove", "lab")
    rest = osctl("context", "list", "-o", "json")

    assert [result.code for result in (lab, node, listed, used, changed, shown, removed, rest)] == [0] * 8
    assert listed.out == (
        "CURRENT  NAME  KIND        ADDRESS\n"
        "*        lab   controller  controller:50050\n"
        "-        n1    node        n1:50051\n"
    )
    assert changed.json == {**node.json, "address": "n1:50052"}
    assert shown.out == "Name: n1\nKind: node\nAddress: n1:50052\nServer name: n1\n"
    assert [(context["name"], context["current"]) for context in rest.json["contexts"]] == [("n1", True)]


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        pytest.param(["context", "set", "x"], 2, "--address HOST:PORT", id="no address"),
        pytest.param(["context", "set", "x", "--address", "h:1", "--ca", "c"], 2, "belong together", id="half a set"),
        pytest.param(["context", "use", "x"], 3, "osctl context set x", id="unknown"),
        pytest.param(["context", "remove", "x"], 3, "osctl context set x", id="unknown to remove"),
        pytest.param(["context", "show"], 3, "osctl context use", id="none in use"),
    ],
)
def test_a_wrong_context_is_told_with_its_cure(osctl: Osctl, arguments: list[str], code: int, part: str) -> None:
    result = osctl(*arguments)

    assert result.code == code
    assert part in result.err


def test_settings_that_cannot_be_read_are_named(osctl: Osctl, tmp_path: Path) -> None:
    (tmp_path / "osctl.json").write_text("{")

    result = osctl("context", "list")

    assert result.code == 2
    assert str(tmp_path / "osctl.json") in result.err


def test_a_development_ca_is_made_once_and_issues_for_every_role(osctl: Osctl, tmp_path: Path) -> None:
    folder = tmp_path / "ca"
    make = ("ca", "dev", str(folder), "--controller", "main", "--node", "n1", "--user", "alice", "--dns", "lab.example")

    first, again = osctl(*make, "-o", "json"), osctl(*make, "-o", "json")

    assert first.code == again.code == 0, first
    assert first.json == again.json
    assert [issued["tls_dir"] for issued in first.json["issued"]] == [
        str(folder / name) for name in ("controller-main", "node-n1", "user-alice")
    ]
    assert stat.S_IMODE((folder / "user-alice" / "tls.key").stat().st_mode) == 0o600
    assert (folder / "ca.crt").read_bytes() == (folder / "node-n1" / "ca.crt").read_bytes()


def test_a_name_that_no_certificate_may_carry_is_refused(osctl: Osctl, tmp_path: Path) -> None:
    result = osctl("ca", "dev", str(tmp_path / "ca"), "--node", "../n1")

    assert result.code == 2
    assert "'../n1'" in result.err


def test_the_doctor_is_content_without_a_context(osctl: Osctl) -> None:
    result = osctl("doctor", "-o", "json")

    assert result.code == 0, result
    assert [check["name"] for check in result.json["checks"]] == [
        *("python", "sgdisk", "sfdisk", "mksquashfs", "redis", "context"),
    ]


def test_the_doctor_names_what_is_missing_and_its_cure(osctl: Osctl, tmp_path: Path) -> None:
    osctl.environ = {"OSCTL_CONTEXT": "moon"}

    text, document = osctl("doctor"), osctl("doctor", "-o", "json")

    assert text.code == document.code == 3
    assert "  ❌ context - cannot find context 'moon'\n     cure: add it: osctl context set moon" in text.out
    assert document.json["ready"] is False
    assert "error: this machine is not ready: context" in text.err
    assert not (tmp_path / "osctl.json").exists()


def test_the_version_is_the_installed_one(osctl: Osctl) -> None:
    result = osctl("version", "-o", "json")

    assert result.json["osctl"].count(".") == 2
    assert result.json["controller"] is None


def test_the_shell_completes_commands_and_options(tmp_path: Path) -> None:
    script = tmp_path / "complete.sh"
    script.write_text(
        'eval "$(osctl completion bash)"\n'
        "COMP_WORDS=(osctl rollout create --wa) COMP_CWORD=3\n"
        "_osctl_completion osctl\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    environment = {**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"}

    done = subprocess.run(
        ["bash", str(script)], env=environment, capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.split() == ["--waves", "--wait"]


def test_a_terminal_without_utf8_gets_replacements_and_no_traceback(osctl: Osctl) -> None:
    osctl.environ = {"PYTHONIOENCODING": "latin-1"}
    osctl("context", "set", "lab", "--address", "h:1", "--server-name", "żłąw")

    text, document = osctl("context", "show"), osctl("context", "show", "-o", "json")

    assert "Server name: ?" in text.out
    assert document.json["server_name"] == "żłąw"


def test_a_table_has_lines_on_a_terminal(osctl: Osctl) -> None:
    osctl("context", "set", "lab", "--address", "h:1")
    ours, theirs = pty.openpty()

    with osctl.start("context", "list", stdout=theirs) as process:
        os.close(theirs)
        shown = _read_all(ours)

    assert process.returncode == 0
    assert "│ lab  │ controller │ h:1" in shown


def _read_all(terminal: int) -> str:
    parts: list[bytes] = []
    with contextlib.suppress(OSError):  # Linux says EIO when the other side has closed a terminal
        while part := os.read(terminal, 4096):
            parts.append(part)
    os.close(terminal)
    return b"".join(parts).decode()


@pytest.mark.parametrize(
    ("redirection", "code", "words"),
    [
        pytest.param("> /dev/full", 2, "error: cannot write output: No space left on device\n", id="full-disk"),
        pytest.param(">&-", 0, "", id="closed-by-the-caller"),
    ],
)
def test_output_that_goes_nowhere_is_no_bug_of_ours(
    osctl: Osctl, tmp_path: Path, redirection: str, code: int, words: str
) -> None:
    osctl("context", "set", "lab", "--address", "controller:50050")
    environment = {**os.environ, "OSCTL_CONFIG": str(tmp_path / "osctl.json")}
    command = ["sh", "-c", f"'{PROGRAM}' context list {redirection}"]

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == code
    assert done.stderr.partition("cure:")[0] == words
