"""Orders come in: a thin Celery worker in this process, on the node's own queue.

Rules:
- An order is acknowledged when ``take`` has made it durable, or ``refuse`` has made the refusal durable; not before.
- A disk that is full stops the intake, not the worker: the order waits in Redis while we try again, ever more slowly.
- Nothing that arrives can end the worker or comes again for ever: what is not an order for this node is refused.
- Redis may be absent for any time, at the start too.

Duplicates and old orders are not this module's matter: ``take`` absorbs them by id and sequence number.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from celery import Celery
from celery.exceptions import Reject
from celery.worker import WorkController, state
from celery.worker.consumer import Consumer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from kombu import Connection
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential
from tenacity.nap import sleep_using_event
from tenacity.stop import stop_when_event_set

from shared.errors import DiskFullError, EnvelopeError, FleetError, StateFileError
from shared.messages import Order
from shared.queues import ORDER_TASK
from shared.signing import open_order

log = logging.getLogger(__name__)

#: What the state folder raises while it cannot make anything durable.
_NOT_DURABLE = (StateFileError, DiskFullError, OSError)
#: Longest wait between two attempts to make an order durable, seconds.
_LONGEST_WAIT = 60.0
#: Seconds until a worker that ended by an error is started again.
_RESTART_WAIT = 5.0
#: After a lost connection the nodes of a fleet come back spread over these seconds, because each TLS handshake costs
#: Redis a millisecond; transport option ``reconnect_spread``.
_SPREAD = 2.0
#: Seconds between two attempts to reach Redis grow to this.
_LONGEST_RECONNECT = 20.0


@dataclass(frozen=True)
class Intake:
    """Verifies what arrives and hands it on.

    ``take`` makes an order durable and returns; it raises ``FleetError`` to refuse it, and ``StateFileError``,
    ``DiskFullError`` or ``OSError`` if it cannot be made durable now. ``refuse`` makes durable why ``raw`` is refused.
    """

    node_id: str
    key: Ed25519PublicKey  #: of the controller; signs orders
    take: Callable[[Order], None]
    refuse: Callable[[FleetError, object], None]
    stop: threading.Event  #: ends waiting; the order in hand goes back to Redis
    longest_wait: float = _LONGEST_WAIT

    def attach(self, app: Celery) -> None:
        """Make this intake the order task of ``app``."""
        app.task(name=ORDER_TASK, shared=False)(self._task)

    def _task(self, *args: object, **kwargs: object) -> None:
        self.receive(args, kwargs)

    def receive(self, args: Sequence[object], kwargs: Mapping[str, object]) -> None:
        """Take or refuse one message.

        Raises:
            Reject: ``stop`` was set before anything was durable; the message goes back to the queue.
        """
        raw = args[0] if len(args) == 1 else list(args)
        try:
            order = self._open(args, kwargs)
            self._durably(lambda: self.take(order))
        except _NOT_DURABLE as error:
            raise Reject(error, requeue=True) from error
        except FleetError as error:
            self._refuse(error, raw)
        except Exception as error:
            log.exception("cannot take an order")
            self._refuse(FleetError(f"cannot take order: {error!r}"), raw)

    def _open(self, args: Sequence[object], kwargs: Mapping[str, object]) -> Order:
        if len(args) != 1 or kwargs:
            raise EnvelopeError(f"cannot read order: {len(args)} arguments and {len(kwargs)} named ones, not one")
        order = open_order(args[0], self.key)
        if order.node_id != self.node_id:
            raise EnvelopeError(f"cannot take order {order.id}: it is for {order.node_id}, this is {self.node_id}")
        return order

    def _refuse(self, error: FleetError, raw: object) -> None:
        log.error("order refused, %s: %s", error.kind, error)
        try:
            self._durably(lambda: self.refuse(error, raw))
        except _NOT_DURABLE as full:
            raise Reject(full, requeue=True) from full
        except Exception:
            log.exception("cannot record the refusal; the message is dropped")

    def _durably(self, action: Callable[[], None]) -> None:
        def note(attempt: RetryCallState) -> None:
            log.error("cannot make an order durable yet: %s", attempt.outcome and attempt.outcome.exception())

        Retrying(
            retry=retry_if_exception_type(_NOT_DURABLE),
            wait=wait_random_exponential(multiplier=0.5, max=self.longest_wait),
            stop=stop_when_event_set(self.stop),
            sleep=sleep_using_event(self.stop),
            before_sleep=note,
            reraise=True,
        )(action)


class SpreadingConsumer(Consumer):
    """Celery's consumer, which after a lost connection comes back soon, but not together with the whole fleet."""

    def ensure_connected(self, conn: Connection) -> Connection:
        """Return the connection when it stands, however long that takes; leave by SystemExit on a shutdown."""
        if self.restart_count > 1:
            spread = (conn.transport_options or {}).get("reconnect_spread", _SPREAD)
            until = time.monotonic() + random.uniform(0, spread)  # noqa: S311 - spread, not a secret
            while (rest := until - time.monotonic()) > 0:
                state.maybe_shutdown()
                time.sleep(min(rest, 0.2))
        connected = conn.ensure_connection(
            lambda error, wait: log.warning("cannot reach Redis, next attempt in %.1f s: %s", wait, error),
            max_retries=None,  # type: ignore[arg-type] # the stubs know no "for ever"
            interval_start=0,
            interval_step=random.uniform(0.5, 2),  # type: ignore[arg-type] # noqa: S311 - floats work as well
            interval_max=_LONGEST_RECONNECT,  # type: ignore[arg-type]
            callback=state.maybe_shutdown,
        )
        self.first_connection_attempt = False
        return connected


def run_worker(app: Celery, stop: threading.Event) -> None:
    """Work on the queue of ``app`` in this thread until ``stop`` is set; attach an ``Intake`` first.

    The solo pool runs the task in this very thread, between two receives; Celery's process state is global, so
    there can be one such worker in a process.
    """
    state.should_stop = None
    app.set_current()  # Celery looks for the task in the thread's current application
    app.conf.worker_consumer = f"{__name__}:{SpreadingConsumer.__name__}"
    current: list[WorkController] = []

    def end_worker() -> None:
        stop.wait()
        state.should_stop = os.EX_OK  # type: ignore[assignment] # the stubs take its first value for its type
        for worker in current:
            if worker.hub:
                worker.hub.call_soon(state.maybe_shutdown)  # type: ignore[attr-defined] # wakes kombu's loop

    threading.Thread(target=end_worker, name="intake-stop", daemon=True).start()
    while not stop.is_set():
        worker = app.WorkController(
            pool_cls="solo", without_gossip=True, without_mingle=True, without_heartbeat=True, quiet=True
        )
        current[:] = [worker]
        worker.start()  # returns, whatever happened, with the error logged
        if not stop.is_set():
            log.error("the intake's worker ended; it starts again in %.0f s", _RESTART_WAIT)
            stop.wait(_RESTART_WAIT)
