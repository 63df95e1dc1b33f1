"""The demo keeps its promise, and leaves nothing behind however it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from deploy.local.fleet import tool


def demo(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(tool("osctl")), "demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def left_behind(folder: str) -> list[str]:
    lines = []
    for process in psutil.process_iter(["cmdline"]):
        line = " ".join(process.info["cmdline"] or [])
        if folder in line:
            lines.append(line)
    return lines


@pytest.mark.slow
def test_the_demo_ends_as_promised() -> None:
    running = demo()

    story, _ = running.communicate(timeout=280)

    assert running.returncode == 0, story
    assert "ACT ONE" in story
    assert "ACT TWO" in story
    assert re.search(r"Node: +node-07", story) or "node-07" in story.partition("rollback history")[2]
    assert "As promised, on all 12 disks and in the history." in story
    folder = re.findall(r"/\S*matic-demo-\S+", story)[0]
    assert not Path(folder).exists()
    assert left_behind(folder) == []


@pytest.mark.slow
@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupted_demo_cleans_up(signal_number: signal.Signals) -> None:
    running = demo("--nodes", "8")
    assert running.stdout is not None
    story = ""
    for line in running.stdout:
        story += line
        if line.startswith("  up after"):
            break

    running.send_signal(signal_number)
    rest, _ = running.communicate(timeout=60)

    assert running.returncode == 130, story + rest
    folder = re.findall(r"/\S*matic-demo-\S+", story)[0]
    assert not Path(folder).exists()
    assert left_behind(folder) == []
