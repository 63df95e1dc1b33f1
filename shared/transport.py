"""The at-least-once Celery transport on Redis: kombu's own, with another way to receive.

Stock kombu pops a message (BRPOP) and only then records it. What Redis hands to a connection whose reader has died
is gone, and an acknowledgement that fails while Redis restarts costs the worker its only prefetch credit for good.
Here a message is never in flight alone:

- **receive** is ``BLMOVE queue -> queue:work``: Redis moves it, so it lies in one of the two lists at any instant;
- **acknowledge** is ``LREM queue:work``; one that fails is kept and sent again, and the credit is given back at once;
- **recover** happens before every blocking receive: this worker then holds nothing, so what lies in ``queue:work``
  was taken by a connection of ours that is dead, or by an earlier life. It goes back, the oldest first. A connection
  that is still blocked somewhere can therefore delay a message by one ``polling_interval``, and never swallow it;
- **garbage**, which no code here can read, goes to ``queue:dead`` (bounded) and cannot kill the worker time and again;
- **refusals** by Redis (no memory, no permission, read-only) are waited out, not retried in a busy loop.

The price: a message can come twice, and after a recovery an older one can come after a newer one. So orders carry an
id and a sequence number. One queue and one consumer per queue; prefetch 1; no fanout, no priorities. The wire format is
Celery's own. Commands: PING BLMOVE LMOVE LREM RPUSH MULTI EXEC, all on ``queue*``; no script, no lock, no pub/sub.

kombu is pinned: ``_brpop_start``, ``_brpop_read`` and the poller behind them are its inner parts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from queue import Empty
from time import monotonic
from typing import Any, NoReturn

import redis
from kombu.transport import TRANSPORT_ALIASES, virtual
from kombu.transport import redis as stock

from shared.celery_message import read_message
from shared.errors import EnvelopeError
from shared.queues import dead_list, work_list

log = logging.getLogger(__name__)

#: What a broken connection raises. Narrower than kombu's list, which counts a KeyError as a lost connection.
BROKEN = (redis.ConnectionError, redis.TimeoutError, OSError)
#: Messages kept in ``queue:dead``; beyond it the oldest goes.
DEAD_LIMIT = 100
#: Seconds of a blocking receive: the longest that a dead connection can delay a message.
POLL_SECONDS = 30
#: Seconds that Redis has for every other answer. redis-py's own default would also end blocking receives.
ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class Held:
    """A message that lies in the work list and in the hands of this worker: the bytes are its name there."""

    queue: str
    raw: bytes


class Credit(stock.QoS):
    """Prefetch credit, and what is held. Nothing is restored at shutdown: it lies in the work list already."""

    restore_at_shutdown = False
    channel: Channel

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.held: dict[str, Held] = {}

    def append(self, message: object, delivery_tag: str) -> None:
        """Count the message against the credit."""
        virtual.QoS.append(self, message, delivery_tag)

    def ack(self, delivery_tag: str) -> None:
        """Give the credit back whatever Redis says, then take the message off the work list."""
        virtual.QoS.ack(self, delivery_tag)
        if held := self.held.pop(delivery_tag, None):
            self.channel.settle(held)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:  # noqa: FBT001, FBT002 - kombu's signature
        """Put the message back, next to be received; or, if it is not to come again, bury it."""
        virtual.QoS.ack(self, delivery_tag)
        if held := self.held.pop(delivery_tag, None):
            self.channel.put_back(held) if requeue else self.channel.bury(held, "rejected by the worker")

    def restore_unacked(self, client: object | None = None) -> None:
        """Do nothing: see the class."""

    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 10) -> None:
        """Do nothing: there is no visibility timeout."""


class Channel(stock.Channel):
    """Receives from one queue at a time; publishes as stock kombu does."""

    QoS = Credit
    qos: Credit
    priority_steps = [0]  # noqa: RUF012 - kombu's attribute
    supports_fanout = False
    socket_timeout = ANSWER_SECONDS
    socket_connect_timeout = ANSWER_SECONDS
    socket_keepalive = True
    refused_seconds = 5.0  #: wait after Redis has refused a command; also a transport option
    from_transport_options = (*stock.Channel.from_transport_options, "refused_seconds")

    def __init__(self, *args: object, **kwargs: object) -> None:
        self._late: list[Held] = []
        self._polled = ""
        self._not_before = 0.0
        super().__init__(*args, **kwargs)

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - kombu's signature
        params: dict[str, Any] = super()._connparams(asynchronous=asynchronous)  # type: ignore[misc]
        # RESP2: a socket that becomes readable then holds our reply, never a push message. No CLIENT SETINFO: a node's
        # account may not use it. No PING before a command: the command's own timeout finds a dead peer as well.
        return params | {"protocol": 2, "driver_info": None, "health_check_interval": 0}

    def basic_consume(
        self,
        queue: str,
        no_ack: bool,  # noqa: FBT001 - kombu's signature
        callback: Callable[..., object] | None,
        consumer_tag: str | None,
        **kwargs: object,
    ) -> str:
        """Consume from ``queue``.

        Raises:
            ValueError: a second queue, or without acknowledgements: neither keeps the promise of this transport.
        """
        if no_ack or set(self.active_queues) - {queue}:
            raise ValueError(f"cannot consume from {queue}: this transport serves one queue, with acknowledgements")
        return str(super().basic_consume(queue, no_ack, callback, consumer_tag, **kwargs))

    def _get(self, queue: str, timeout: float | None = None) -> NoReturn:  # noqa: ARG002 - kombu's signature
        raise ValueError(f"cannot get from {queue}: this transport receives by consuming only")

    # --- what the poller calls ------------------------------------------------------------------------------

    def _brpop_start(self, timeout: int | None = None) -> None:
        if not self.active_queues or monotonic() < self._not_before:
            return
        (queue,) = self.active_queues
        try:
            if not self.qos.held:
                self._recover(queue)
        except redis.ResponseError as error:
            self._refused(error)
            return
        connection = self.client.connection
        self._in_poll, self._polled, self._brpop_sent_at = connection, queue, monotonic()
        seconds = timeout or self.brpop_timeout
        connection.send_command("BLMOVE", queue, work_list(queue), "RIGHT", "LEFT", seconds)

    def _brpop_read(self, **options: object) -> bool:
        connection = self.client.connection
        try:
            raw = self.client.parse_response(connection, "BLMOVE", **options)
        except BROKEN:
            connection.disconnect()
            raise
        except redis.ResponseError as error:
            self._refused(error)
            raise Empty from error
        finally:
            self._in_poll = None
        if raw is None:
            raise Empty
        self._deliver(Held(self._polled, raw))
        return True

    def _deliver(self, held: Held) -> None:
        try:
            message = read_message(held.raw)
        except EnvelopeError as error:
            self.bury(held, str(error))
            return
        if message["headers"].get("eta") or message["headers"].get("expires"):
            # Celery would hold it here until that date, or drop it in silence after it.
            self.bury(held, "it carries a date; dates are the controller's matter")
            return
        tag = message["properties"]["delivery_tag"]
        self.qos.held[tag] = held
        try:
            self.connection._deliver(message, held.queue)  # noqa: SLF001 - kombu's way, as in its own transports
        except (MemoryError, *BROKEN):
            raise  # not the message's fault: it lies in the work list and will come again
        except Exception:
            log.exception("message on %s breaks the worker", held.queue)
            self.qos.reject(tag)

    def close(self) -> None:
        """Close at once; what Redis moves for us meanwhile lies in the work list."""
        connection, self._in_poll = self._in_poll, None
        if connection:
            connection.disconnect()  # stock kombu waits here for the blocked receive
        super().close()

    # --- the lists ------------------------------------------------------------------------------------------

    def _idle_client(self) -> Any:  # noqa: ANN401 - redis-py's hints know no bytes as list elements
        # Between two receives their connection is free: one connection per node, not two.
        connection = self.client.connection
        free = connection is not None and connection._sock is not None and not self._in_poll  # noqa: SLF001
        return self.client if free else self._new_client()

    def _new_client(self) -> Any:  # noqa: ANN401 - as above
        return self._create_client()  # type: ignore[attr-defined] # the stubs lack it

    def _recover(self, queue: str) -> None:
        client = self._idle_client()
        while self._late:
            client.lrem(work_list(self._late[-1].queue), 1, self._late[-1].raw)
            self._late.pop()
        count = 0
        while client.lmove(work_list(queue), queue, "LEFT", "RIGHT"):
            count += 1
        if count:
            log.warning("put %d messages back to %s that were taken and not acknowledged", count, queue)

    def _refused(self, error: redis.ResponseError) -> None:
        self._not_before = monotonic() + self.refused_seconds
        log.error("Redis refuses to hand out orders, next attempt in %.0f s: %s", self.refused_seconds, error)

    def _try(self, what: str, held: Held, action: Callable[[Held], None], *, again: bool = False) -> None:
        if self.connection is None:
            return  # closed meanwhile: the message lies in the work list, and the next channel recovers it
        try:
            action(held)
        except (redis.RedisError, *BROKEN) as error:
            log.warning("cannot %s a message of %s yet: %s", what, held.queue, error)
            if again:
                self._late.append(held)

    def settle(self, held: Held) -> None:
        """Take an acknowledged message off the work list, now or before the next receive."""
        self._try("acknowledge", held, self._settle, again=True)

    def put_back(self, held: Held) -> None:
        """Move a message back to where it is received next; if that fails, ``_recover`` will."""
        self._try("put back", held, self._put_back)

    def bury(self, held: Held, reason: str) -> None:
        """Move a message that nobody can work on to the dead list; if that fails, it comes once more."""
        log.error("message on %s goes to its dead list: %s", held.queue, reason)
        self._try("bury", held, self._bury)

    def _settle(self, held: Held) -> None:
        self._idle_client().lrem(work_list(held.queue), 1, held.raw)

    def _put_back(self, held: Held) -> None:
        with self._new_client().pipeline(transaction=True) as pipe:
            pipe.lrem(work_list(held.queue), 1, held.raw).rpush(held.queue, held.raw).execute()

    def _bury(self, held: Held) -> None:
        dead, client = dead_list(held.queue), self._new_client()
        with client.pipeline(transaction=True) as pipe:
            _, length = pipe.lrem(work_list(held.queue), 1, held.raw).rpush(dead, held.raw).execute()
        for _ in range(length - DEAD_LIMIT):
            # A move from the left end to the left end reads the oldest: nodes may neither LINDEX nor LTRIM.
            client.lrem(dead, 1, client.lmove(dead, dead, "LEFT", "LEFT"))


class Transport(stock.Transport):
    """``fleet://host:port/db`` and ``fleet+socket:///path``; option ``polling_interval``: see ``POLL_SECONDS``."""

    Channel = Channel
    brpop_timeout = POLL_SECONDS

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        self.polling_interval = None  # else kombu would also sleep that long between two synchronous polls


class SecureChannel(Channel):
    """Always TLS: a URL without ``ssl_*`` parts means the system's trust store, never plain text."""

    connection_class = redis.SSLConnection


class SecureTransport(Transport):
    """``fleets://host:port/db?ssl_ca_certs=...&ssl_certfile=...&ssl_keyfile=...``."""

    Channel = SecureChannel


TRANSPORT_ALIASES.update({"fleet": "shared.transport:Transport", "fleets": "shared.transport:SecureTransport"})
