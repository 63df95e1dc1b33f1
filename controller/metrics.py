"""The controller's own counters, for Prometheus. Built in ``main`` and handed in, so that tests read theirs alone."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """What is worth an alert: orders that do not leave, events that are refused, batches that take long."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.orders = Counter(
            "matic_orders_published", "Orders put on node queues, by kind", ["kind"], registry=self.registry
        )
        self.orders_waiting = Counter(
            "matic_orders_postponed", "Orders not published, by reason", ["reason"], registry=self.registry
        )
        self.events = Counter("matic_events_ingested", "Events stored, by kind", ["kind"], registry=self.registry)
        self.events_repeated = Counter(
            "matic_events_repeated", "Events that were known already", registry=self.registry
        )
        self.events_refused = Counter(
            "matic_events_refused", "Messages that were not accepted, by error kind", ["kind"], registry=self.registry
        )
        self.events_missing = Gauge(
            "matic_events_missing",
            "Events that nodes have sent, by their numbers, and that never came",
            registry=self.registry,
        )
        self.ingest_seconds = Histogram(
            "matic_ingest_batch_seconds", "Time from reading a batch to its commit", registry=self.registry
        )
