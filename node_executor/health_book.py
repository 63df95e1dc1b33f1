"""The last health report of this node, for whoever asks between two updates (requirement H5)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from node_executor.ports import HealthProbe
from shared.errors import ConflictError
from shared.messages import HealthPolicy, HealthReport

#: Seconds for which a report tells how the node is; an older one, of the last update perhaps, is asked anew.
MAX_AGE = 60.0
#: Callers that may wait for one answer. Each holds a thread of the API, and the check ``api`` needs one of those.
MOST_WAITING = 4


class HealthBook:
    """A ``HealthProbe`` that remembers its last answer. Any thread may ask."""

    def __init__(self, probe: HealthProbe, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Remember what ``probe`` says; ``monotonic`` returns seconds and tells how old that is."""
        self._probe = probe
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._waiting = 0
        self._asking: Future[HealthReport] | None = None
        self._last: tuple[HealthReport, float] | None = None  # and when it came

    def run(
        self, policy: HealthPolicy, cancelled: threading.Event, on_round: Callable[[HealthReport], None] | None = None
    ) -> HealthReport:
        """See ``ports.HealthProbe.run``."""

        def heard(report: HealthReport) -> None:
            self._last = report, self._monotonic()
            if on_round is not None:
                on_round(report)

        return self._probe.run(policy, cancelled, heard)

    def once(self) -> HealthReport:
        """See ``ports.HealthProbe.once``; those who ask meanwhile share the answer.

        Raises:
            ConflictError: too many wait for it already.
        """
        with self._lock:
            if self._waiting >= MOST_WAITING:
                raise ConflictError(
                    f"cannot ask for health: {self._waiting} callers wait for the answer already",
                    cure="ask again in a few seconds",
                )
            asking = self._asking
            answer = asking or Future()
            self._asking = answer
            self._waiting += 1
        try:
            if asking is None:
                self._ask(answer)
            return answer.result()
        finally:
            with self._lock:
                self._waiting -= 1

    def report(self, *, fresh: bool) -> HealthReport:
        """Return the last report; ask now if there is none, if it is older than ``MAX_AGE``, or if it must be fresh.

        Raises:
            ConflictError: as ``once``.
        """
        last = self._last
        if fresh or last is None or self._monotonic() - last[1] > MAX_AGE:
            return self.once()
        return last[0]

    def _ask(self, answer: Future[HealthReport]) -> None:
        try:
            report = self._probe.once()
            self._last = report, self._monotonic()
            answer.set_result(report)
        except BaseException as error:  # noqa: BLE001 - raised for each who waits
            answer.set_exception(error)
        finally:
            with self._lock:
                self._asking = None
