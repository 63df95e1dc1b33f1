"""Hooks: what runs, with what, for how long, and what never runs."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from node_executor.hooks import OUTPUT_BYTES, FolderHookRunner
from node_executor.ports import HookRunner
from shared.errors import HookError

Write = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "hooks.d"
    folder.mkdir(mode=0o755)
    return folder


@pytest.fixture
def write(folder: Path) -> Write:
    """Return a way to put a shell script into the folder."""

    def put(script: str, *, name: str = "hook", mode: int = 0o755) -> Path:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(mode)
        return path

    return put


def fails(runner: HookRunner, name: str = "hook") -> HookError:
    with pytest.raises(HookError) as failed:
        runner.run(name, {})
    assert failed.value.cure
    return failed.value


def test_no_name_runs_nothing(folder: Path) -> None:
    FolderHookRunner(folder / "missing").run("", {})


def test_a_hook_sees_a_clean_environment_and_its_variables(
    folder: Path, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write(f"env | sort > {out}; pwd >> {out}; read -r line || echo no input >> {out}")
    monkeypatch.setenv("SECRET_OF_THE_EXECUTOR", "1")

    FolderHookRunner(folder).run("hook", {"MATIC_NODE_ID": "n1", "PATH": "/evil", "MATIC_HOOK": "other"})

    assert set(out.read_text().splitlines()) - {"SHLVL=0", "_=/usr/bin/env"} == {
        "HOME=/",
        "LANG=C.UTF-8",
        "MATIC_HOOK=hook",
        "MATIC_NODE_ID=n1",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "PWD=/",
        "/",
        "no input",
    }


def test_a_failing_hook_tells_its_exit_code_and_its_last_output(folder: Path, write: Write) -> None:
    write("echo stopping the belt; echo belt is stuck >&2; exit 7")

    error = fails(FolderHookRunner(folder))

    assert error.message == (
        "cannot finish hook hook: it exited with 7; its last output: stopping the belt\nbelt is stuck"
    )


def test_a_hook_that_dies_of_a_signal_says_which(folder: Path, write: Write) -> None:
    write("kill -SEGV $$")

    assert "it was ended by SIGSEGV; it printed nothing" in fails(FolderHookRunner(folder)).message


def test_endless_output_neither_blocks_nor_fills_the_message(folder: Path, write: Write) -> None:
    write("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 1")

    message = fails(FolderHookRunner(folder)).message

    assert message.endswith("xx\nthe end")
    assert len(message) < OUTPUT_BYTES + 100


def test_output_that_is_not_text_is_reported_all_the_same(folder: Path, write: Write) -> None:
    write("printf '\\377\\376'; exit 1")

    assert "its last output: \ufffd\ufffd" in fails(FolderHookRunner(folder)).message


@pytest.mark.parametrize("stubborn", [False, True], ids=["ends when told", "ignores being told"])
def test_a_slow_hook_is_ended_with_all_its_children(
    folder: Path, write: Write, tmp_path: Path, *, stubborn: bool
) -> None:
    pids = tmp_path / "pids"
    os.mkfifo(pids)
    trap = "trap '' TERM;" if stubborn else ""
    write(f"{trap} sleep 600 & echo $$ $! > {pids}; echo waiting; wait; sleep 600")
    errors: list[HookError] = []
    runner = FolderHookRunner(folder, timeout=3.0, grace=0.1)
    thread = threading.Thread(target=lambda: errors.append(fails(runner)))

    thread.start()
    processes = [os.pidfd_open(int(pid)) for pid in pids.read_text().split()]
    thread.join(30)

    assert [_ends(process) for process in processes] == [True, True]
    assert "no end within 3 s; its last output: waiting" in errors[0].message


def test_what_a_hook_leaves_running_ends_with_it(folder: Path, write: Write, tmp_path: Path) -> None:
    # The hook waits until the test holds its child, so that the child cannot end before it can be watched.
    pids, held = tmp_path / "pids", tmp_path / "held"
    os.mkfifo(pids)
    os.mkfifo(held)
    write(f"sleep 600 & echo $! > {pids}; cat {held}")
    thread = threading.Thread(target=lambda: FolderHookRunner(folder).run("hook", {}))

    thread.start()
    left = os.pidfd_open(int(pids.read_text()))
    held.write_text("go\n")
    thread.join(30)

    assert not thread.is_alive()
    assert _ends(left)


def _ends(process: int) -> bool:
    """Whether the process behind a pidfd ends within ten seconds."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    try:
        return bool(poll.poll(10_000))
    finally:
        os.close(process)


@pytest.mark.parametrize(
    "name", ["../hook", "/bin/true", "a/b", ".", "..", ".hidden", "-x", "a b", "a\n", "ä", "a" * 129]
)
def test_only_plain_names_are_looked_up(name: str, folder: Path, write: Write) -> None:
    write("exit 0", name="hook")

    assert "a hook's name has letters, digits" in fails(FolderHookRunner(folder), name).message


def test_a_missing_hook_or_folder_is_named(folder: Path, tmp_path: Path) -> None:
    in_folder = fails(FolderHookRunner(folder))
    without_folder = fails(FolderHookRunner(tmp_path / "nowhere"))

    assert in_folder.message == f"cannot run hook hook: {folder}/hook: No such file or directory"
    assert without_folder.message == f"cannot run hook hook: {tmp_path}/nowhere: No such file or directory"


@pytest.mark.parametrize(
    ("mode", "folder_mode", "cause"),
    [
        (0o644, 0o755, "hook is not executable"),
        (0o775, 0o755, "others may write to"),
        (0o757, 0o755, "others may write to"),
        (0o755, 0o775, "others may write to"),
        (0o755, 0o1777, "others may write to"),
    ],
    ids=["not executable", "group writes file", "all write file", "group writes folder", "sticky folder"],
)
def test_what_others_could_change_is_not_run(
    mode: int, folder_mode: int, cause: str, folder: Path, write: Write
) -> None:
    write("exit 0", mode=mode)
    folder.chmod(folder_mode)

    assert cause in fails(FolderHookRunner(folder)).message


def test_a_hook_of_another_user_is_not_run(folder: Path, write: Write) -> None:
    write("exit 0")
    runner = FolderHookRunner(folder, owners=frozenset({os.geteuid() + 1}))

    assert f"belongs to user {os.geteuid()}" in fails(runner).message


def test_a_link_is_not_followed(folder: Path, write: Write, tmp_path: Path) -> None:
    write("exit 0", name="real").rename(tmp_path / "real")
    (folder / "hook").symlink_to(tmp_path / "real")

    assert "hook is not a regular file" in fails(FolderHookRunner(folder)).message


def test_a_file_that_the_kernel_cannot_start_is_named(folder: Path) -> None:
    path = folder / "hook"
    path.write_text("no interpreter is named here\n")
    path.chmod(0o755)

    error = fails(FolderHookRunner(folder))

    assert "Exec format error" in error.message
    assert "#!" in error.cure


def test_a_variable_that_no_environment_can_hold_is_refused(folder: Path, write: Write) -> None:
    write("exit 0")

    with pytest.raises(HookError, match="null byte"):
        FolderHookRunner(folder).run("hook", {"MATIC_NODE_ID": "a\0b"})
