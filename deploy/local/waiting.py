"""Waiting for other processes, bounded and with a name for what did not come."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Seconds between two looks at another process. Looking is all one can do from outside of it.
LOOK_EVERY = 0.1


def wait_until(condition: Callable[[], bool], what: str, *, patience: float = 60) -> None:
    """Look until ``condition`` holds.

    Raises:
        TimeoutError: it did not within ``patience`` seconds; the message names ``what``.
    """
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {patience:g} s in vain for {what}")
        time.sleep(LOOK_EVERY)
