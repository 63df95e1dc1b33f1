"""The loop: pauses as it is told, wakes when it is called, survives what a step raises."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import count
from types import FrameType
from typing import Any

import pytest

from controller.loops import Loop
from shared.errors import TransportError

#: Seconds: far above what a thread needs to be scheduled, far below a forgotten wake-up.
SOON, NEVER = 20.0, 3600.0


class Steps:
    """A loop on a thread whose steps the test can wait for."""

    def __init__(self, behaviour: Callable[[int], float]) -> None:
        self.taken = 0
        self._changed = threading.Condition()
        self._behaviour = behaviour
        self.loop = Loop("test", self._step)
        self.thread = threading.Thread(target=self.loop.run)

    def _step(self) -> float:
        with self._changed:
            self.taken += 1
            self._changed.notify_all()
        return self._behaviour(self.taken)

    def reached(self, number: int) -> bool:
        """Wait until that many steps were begun."""
        with self._changed:
            return self._changed.wait_for(lambda: self.taken >= number, timeout=SOON)


@pytest.fixture
def start() -> Iterator[Callable[[Callable[[int], float]], Steps]]:
    """Start a loop with a behaviour by step number; it is stopped at the end."""
    started: list[Steps] = []

    def run(behaviour: Callable[[int], float]) -> Steps:
        steps = Steps(behaviour)
        started.append(steps)
        steps.thread.start()
        return steps

    yield run
    for steps in started:
        steps.loop.stop()
        steps.thread.join(timeout=SOON)
        assert not steps.thread.is_alive()


def test_it_pauses_for_as_long_as_the_step_says(start: Callable[[Callable[[int], float]], Steps]) -> None:
    begun = time.monotonic()

    steps = start(lambda number: 0.1 if number < 4 else NEVER)

    assert steps.reached(4)
    assert time.monotonic() - begun >= 0.3


def test_a_wake_up_ends_a_pause(start: Callable[[Callable[[int], float]], Steps]) -> None:
    steps = start(lambda _: NEVER)
    assert steps.reached(1)

    steps.loop.wake()

    assert steps.reached(2)


def test_a_wake_up_during_a_step_is_not_lost(start: Callable[[Callable[[int], float]], Steps]) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def hold(number: int) -> float:
        if number == 1:
            inside.set()
            go_on.wait(SOON)
        return NEVER

    steps = start(hold)
    inside.wait(SOON)
    steps.loop.wake()
    go_on.set()

    assert steps.reached(2)


@pytest.mark.parametrize("error", [TransportError("redis is away"), ZeroDivisionError("a bug")], ids=["away", "bug"])
def test_a_failing_step_is_tried_again(start: Callable[[Callable[[int], float]], Steps], error: Exception) -> None:
    def fail_twice(number: int) -> float:
        if number <= 2:
            raise error
        return NEVER

    steps = start(fail_twice)

    assert steps.reached(3)


def test_stopping_ends_a_long_pause_at_once(start: Callable[[Callable[[int], float]], Steps]) -> None:
    steps = start(lambda _: NEVER)
    assert steps.reached(1)

    steps.loop.stop()
    steps.thread.join(timeout=SOON)

    assert (steps.thread.is_alive(), steps.taken) == (False, 1)


@pytest.mark.parametrize("moment", range(1, 12))
def test_a_stop_at_any_moment_ends_the_loop(moment: int) -> None:
    lines, told = count(1), threading.Event()
    loop = Loop("test", lambda: NEVER if told.is_set() else 0.0)

    def trace(frame: FrameType, event: str, _: object) -> Callable[..., Any] | None:
        if frame.f_code is not Loop.run.__code__:
            return None
        if event == "line" and next(lines) == moment:
            told.set()
            loop.stop()
        return trace

    def run() -> None:
        sys.settrace(trace)
        loop.run()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(timeout=SOON)

    assert not thread.is_alive()
