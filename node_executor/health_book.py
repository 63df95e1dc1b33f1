"""The last health report of this node, for whoever asks between two updates (requirement H5)."""

from __future__ import annotations

import threading
from collections.abc import Callable

from node_executor.ports import HealthProbe
from shared.messages import HealthPolicy, HealthReport


class HealthBook:
    """A ``HealthProbe`` that remembers its last answer. Any thread may ask."""

    def __init__(self, probe: HealthProbe) -> None:
        self._probe = probe
        self._lock = threading.Lock()
        self._last: HealthReport | None = None

    def run(
        self, policy: HealthPolicy, cancelled: threading.Event, on_round: Callable[[HealthReport], None] | None = None
    ) -> HealthReport:
        """See ``ports.HealthProbe.run``."""

        def heard(report: HealthReport) -> None:
            self._last = report
            if on_round is not None:
                on_round(report)

        return self._probe.run(policy, cancelled, heard)

    def once(self) -> HealthReport:
        """See ``ports.HealthProbe.once``; two who ask at the same time share one answer's cost."""
        with self._lock:
            self._last = self._probe.once()
            return self._last

    def report(self, *, fresh: bool) -> HealthReport:
        """Return the last report; ask now if there is none, or if it must be ``fresh``."""
        last = self._last
        return self.once() if fresh or last is None else last
