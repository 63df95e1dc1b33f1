"""Celery applications of both sides, and publishing that leaves nothing behind in Redis but the messages.

Addresses are redis-py's (``redis://``, ``rediss://``, ``unix://``) in all settings; only here they become kombu's.
Nothing in Celery carries a date: windows, soaks and retries are rows in the controller's database, never ETAs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import redis
from celery import Celery
from kombu import Exchange, Queue
from kombu.exceptions import KombuError

import shared.transport
from shared.celery_message import decode_message, write_message
from shared.errors import InputError, TransportError
from shared.queues import EVENT_TASK, EVENTS_QUEUE, ORDER_TASK, orders_queue

__all__ = ["controller_app", "decode_message", "node_app", "publish_orders", "push_events", "redis_client"]

_SCHEMES = {"redis": "fleet", "rediss": "fleets", "unix": "fleet+socket"}
#: Messages that one pipeline to Redis carries.
_BATCH = 1000


def broker_url(redis_url: str) -> str:
    """Return ``redis_url`` as an address of our kombu transport.

    Raises:
        InputError: a scheme that is none of redis, rediss and unix.
    """
    scheme, mark, rest = redis_url.partition("://")
    if not mark or scheme not in _SCHEMES:
        raise InputError(
            f"cannot use Redis address {redis_url.rpartition('@')[2]!r}: its scheme is none of {', '.join(_SCHEMES)}",
            cure="write redis://HOST:PORT/0, rediss://HOST:PORT/0 or unix:///PATH",
        )
    if scheme == "unix":
        rest = rest.replace("?db=", "?virtual_host=").replace("&db=", "&virtual_host=")
    return f"{_SCHEMES[scheme]}://{rest}"


def _app(name: str, redis_url: str, **settings: object) -> Celery:
    app = Celery(name, broker=broker_url(redis_url), set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_create_missing_queues=False,
        broker_pool_limit=1,
        **settings,
    )
    return app


def node_app(
    node_id: str, redis_url: str, *, poll_seconds: int = shared.transport.POLL_SECONDS, overdue_seconds: int = 10
) -> Celery:
    """Return a node's application: one queue, one task at a time, nothing on the wire but orders.

    ``poll_seconds`` bounds how long a dead connection of this node can delay an order; a poll costs Redis two commands.
    A poll overdue by ``overdue_seconds`` means that the other end is gone without a word.

    Raises:
        InputError: the address is not one of Redis.
        ValueError: the node id is not valid.
    """
    name = orders_queue(node_id)
    return _app(
        f"node-{node_id}",
        redis_url,
        task_queues=[Queue(name, Exchange(""), name, no_declare=True)],
        task_default_queue=name,
        task_acks_late=True,  # "done" is: durable on the node
        task_reject_on_worker_lost=True,
        worker_concurrency=1,
        worker_prefetch_multiplier=1,  # the transport recovers while nothing is held: see there
        worker_enable_prefetch_count_reduction=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,  # none runs long; False would warn at each loss
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        broker_transport_options={
            "polling_interval": poll_seconds,
            "health_check_interval": overdue_seconds,
        },
    )


def controller_app(redis_url: str) -> Celery:
    """Return the controller's application: it publishes to any node's queue, and declares none.

    Raises:
        InputError: the address is not one of Redis.
    """
    return _app("controller", redis_url)


def publish_orders(app: Celery, orders: Iterable[tuple[str, str, dict[str, Any]]]) -> int:
    """Publish ``(node_id, order_id, envelope)`` triples in pipelines; return how many.

    The order id becomes the Celery task id. Nothing is sent again here: the caller's database knows what is still open,
    and a batch that fails half-way may be sent again as a whole, because nodes absorb duplicates.

    Raises:
        TransportError: Redis did not take all of them, or nobody knows whether it did.
        ValueError: a node id is not valid.
    """
    count = 0
    try:
        with app.connection_for_write() as connection:
            connection.connect()  # it tries twice, two seconds apart; first use would wait for ever
            producer = app.amqp.Producer(connection.channel(), auto_declare=False)
            with producer.batch(_BATCH):  # type: ignore[attr-defined] # newer than the stubs
                for node_id, order_id, envelope in orders:
                    message = app.amqp.as_task_v2(
                        order_id,
                        ORDER_TASK,
                        args=(envelope,),
                        argsrepr="",  # the envelope belongs into no log
                        kwargsrepr="",
                        ignore_result=True,
                    )
                    producer.publish(
                        message.body,
                        exchange="",
                        routing_key=orders_queue(node_id),
                        serializer="json",
                        headers=message.headers,
                        **message.properties,
                    )
                    count += 1
    except (redis.RedisError, KombuError, OSError) as error:
        raise TransportError(
            f"cannot publish orders: {error}", cure="check that Redis runs; they are sent again"
        ) from error
    return count


def redis_client(redis_url: str) -> redis.Redis:
    """Return a client whose every command ends within ``ANSWER_SECONDS`` and is tried once; close it.

    Raises:
        InputError: the address is not one of Redis.
    """
    broker_url(redis_url)
    seconds = shared.transport.ANSWER_SECONDS
    options: dict[str, Any] = {"protocol": 2, "driver_info": None, "retry": None, "socket_timeout": seconds}
    return redis.Redis.from_url(redis_url, **options)


def push_events(client: redis.Redis, events: Iterable[tuple[str, dict[str, Any]]]) -> None:
    """Push ``(event_id, envelope)`` pairs to the controller in one command: all of them, in this order, or none.

    Raises:
        TransportError: Redis did not take them, or nobody knows whether it did.
    """
    messages = [write_message(EVENT_TASK, event_id, [envelope], EVENTS_QUEUE) for event_id, envelope in events]
    try:
        client.lpush(EVENTS_QUEUE, *messages)
    except (redis.RedisError, OSError) as error:
        raise TransportError(
            f"cannot push events: {error}", cure="check that Redis runs; they are sent again"
        ) from error
