"""The integration test script of the rollback flow, as an operator would run it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("rollback-flow.sh")


@pytest.mark.slow
def test_every_step_of_the_rollback_flow_holds() -> None:
    done = subprocess.run([str(SCRIPT)], capture_output=True, text=True, timeout=280, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "all 9 steps held" in done.stdout
