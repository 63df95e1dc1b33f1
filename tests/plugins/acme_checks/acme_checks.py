"""ACME's nodes hold a lock file while their belt runs; an update must bring the belt back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from node_executor.health import CheckContext, CheckOutcome


class LockFileCheck:
    """Healthy while the lock file is there.

    In the node's settings::

        [health.acme-lock]
        critical = true
        options = { path = "/run/acme/belt.lock" }
    """

    critical = True

    def __init__(self, options: Mapping[str, object]) -> None:
        """Take option ``path``."""
        self._path = Path(str(options["path"]))

    async def check(self, context: CheckContext) -> CheckOutcome:
        """Look for the file."""
        if self._path.exists():
            return CheckOutcome.healthy(f"the belt runs after {context.uptime():.0f} s")
        return CheckOutcome.unhealthy(f"no {self._path}: the belt stands still")
