"""Holding the runner at a chosen moment, for debugging and for fault tests.

With ``hold_dir`` set, a file ``<effect>.before`` or ``<effect>.after`` in that folder stops the runner before or after
the effect of that name (``arm.before``: the phase is durable, nothing is flipped yet). The runner creates
``<moment>.reached`` and goes on when the file is gone. Nothing of this exists on a node without ``hold_dir``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

#: Seconds between two looks at the file.
_LOOK_EVERY = 0.02

#: Called with a moment; returns when the runner may go on.
Hold = Callable[[str], None]


def never(moment: str) -> None:
    """Hold nothing."""
    del moment


def at_files_in(folder: Path, stop: threading.Event) -> Hold:
    """Return a hold that obeys the files in ``folder`` until ``stop`` is set."""

    def hold(moment: str) -> None:
        file = folder / moment
        if not file.exists():
            return
        (folder / f"{moment}.reached").touch()
        while file.exists() and not stop.wait(_LOOK_EVERY):
            pass

    return hold
