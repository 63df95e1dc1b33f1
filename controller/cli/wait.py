"""Waiting for an end: state is read again and again, so that no lost message can make it hang."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from controller.cli.parse import parse_duration
from shared.errors import FleetError, TransportError, WaitTimeoutError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

#: Seconds between two reads: the first, the growth after a read without news, and the longest.
_FIRST, _GROWTH, _LONGEST = 0.2, 1.5, 3.0
#: Seconds that one read may take.
_READ = 10.0


class Duration(click.ParamType[float]):
    """A click type for ``parse_duration``."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - click's own
        """Return seconds; a form that cannot be read raises ``InputError``, which ends as a usage error."""
        del param, ctx
        return value if isinstance(value, float) else parse_duration(str(value))


def timeout_option(function: F) -> F:
    """Add ``--timeout``."""
    return click.option(
        "--timeout",
        type=Duration(),
        default="3h",
        show_default=True,
        metavar="DURATION",
        help="Longest time to wait; then exit code 124.",
    )(function)


def wait_options(function: F) -> F:
    """Add ``--wait`` and ``--timeout``."""
    return click.option("--wait", is_flag=True, help="Wait for the end; the exit code tells how it ended.")(
        timeout_option(function)
    )


@dataclass(frozen=True)
class Patience:
    """How long to wait, and what for."""

    timeout: float  #: seconds
    what: str  #: what is awaited, for the message when time is up


def poll(
    read: Callable[[float], T],
    done: Callable[[T], bool],
    patience: Patience,
    on_read: Callable[[T], object] = lambda _: None,
) -> T:
    """Read until ``done``, and return that answer.

    An unreachable server is asked again: it may be restarting. That it can be reached at all, and with which
    certificate, a call before this one has shown.

    Args:
        read: reads the state; is told how many seconds it may take.
        done: whether the state is the awaited one.
        patience: how long, and what for.
        on_read: is told every answer.

    Raises:
        WaitTimeoutError: the time is up; the message holds the last error, if the last read failed.
        FleetError: a read failed in a way that waiting does not mend.
    """
    deadline = time.monotonic() + patience.timeout
    pause, last = _FIRST, None
    while True:
        failure: FleetError | None = None
        left = deadline - time.monotonic()
        try:
            answer = read(max(0.5, min(_READ, left)))
        except TransportError as error:
            failure = error
        else:
            on_read(answer)
            if done(answer):
                return answer
            pause, last = (_FIRST if answer != last else pause), answer
        left = deadline - time.monotonic()
        if left <= 0:
            raise _time_is_up(patience, failure) from failure
        # Spread out, so that many pipelines that wait do not ask in step.
        time.sleep(min(left, pause * random.uniform(0.8, 1.2)))  # noqa: S311 - no secret
        pause = min(pause * _GROWTH, _LONGEST)


def _time_is_up(patience: Patience, failure: FleetError | None) -> WaitTimeoutError:
    last = f"; the last answer was: {failure.message}" if failure else ""
    return WaitTimeoutError(
        f"cannot wait longer for {patience.what}: {patience.timeout:g} s are over{last}",
        cure="it goes on without osctl; look at it again, or wait with a longer --timeout",
    )
