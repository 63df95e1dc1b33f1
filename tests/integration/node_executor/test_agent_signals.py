"""Asking the executor to end: once, or as often and as fast as supervisors do."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from deploy.local.waiting import wait_until
from tests.support.real_node import RealNode, Workshop


@pytest.mark.parametrize("redis", ["", "unix:///nowhere/redis.sock"], ids=["lone", "redis-away"])
def test_signals_that_come_together_end_the_executor_in_good_order(tmp_path: Path, redis: str) -> None:
    (tmp_path / "workshop").mkdir()
    node = RealNode(Workshop(tmp_path / "workshop"), tmp_path / "node", redis_url=redis)
    node.start()
    pid = node.machine.pid
    assert pid is not None
    executor = psutil.Process(pid)

    node.machine.switch_off()
    for _ in range(20):
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not executor.is_running() or executor.status() == psutil.STATUS_ZOMBIE, "the end")
    node.close()

    assert "executor stopped" in node.console()
