"""One controller process: the one place where its objects are built, and the order in which its threads live.

Threads: one per loop (engine, dispatch, ingest, housekeeping), the API's own, and the main one, which waits for the
end. They meet in the database; within one process they also wake each other, so that nothing waits for a look-around.
"""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import FrameType

import grpc
import structlog
from prometheus_client import start_http_server

from controller.api.server import serve_api
from controller.dispatch import Dispatcher, Leases
from controller.engine import Engine
from controller.fleet import Fleet
from controller.housekeeping import Housekeeping
from controller.inbox import Inbox
from controller.ingest import Ingest
from controller.loops import Loop
from controller.metrics import Metrics
from controller.outbound import Outbound
from controller.settings import Settings
from controller.store.store import Store
from shared.celery_app import controller_app, redis_client
from shared.errors import ConflictError, FleetError, InputError
from shared.signing import Signer, private_from_pem
from shared.tls import TlsFiles

log = structlog.get_logger(__name__)

#: Seconds that calls under way have to end.
_GRACE = 5.0


class Part(StrEnum):
    """What a controller process can do."""

    API = "api"  #: answers people and programs
    ENGINE = "engine"  #: decides
    WORKER = "worker"  #: puts orders on queues
    INGEST = "ingest"  #: takes in events


EVERYTHING = frozenset(Part)


class Process:
    """The parts of one process, over one store."""

    def __init__(self, settings: Settings, parts: Collection[Part]) -> None:
        """Build everything; nothing is started, and neither database nor Redis is touched.

        Raises:
            InputError: a setting or a key file cannot be used.
        """
        self._settings = settings
        self._parts = frozenset(parts)
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()  # its `put` may be called from signal handlers
        self._store = Store(settings.database_url)
        self._metrics = Metrics()
        self._loops: dict[str, Loop] = {}
        self._farewells: list[Callable[[], None]] = []  # lets others take over at once
        self._server: grpc.Server | None = None
        builders = {Part.WORKER: self._build_worker, Part.ENGINE: self._build_engine, Part.INGEST: self._build_ingest}
        for part, build in builders.items():
            if part in self._parts:
                build()

    def run(self) -> None:
        """Work until SIGTERM or SIGINT.

        Raises:
            FleetError: the database is of another release, a certificate cannot be used, or a port is taken.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self._prepare_database()
        threads = [threading.Thread(target=loop.run, name=loop.name) for loop in self._loops.values()]
        try:
            self._open_ports()
            for thread in threads:
                thread.start()
            log.info("controller started", parts=sorted(map(str, self._parts)), database=self._store.database)
            self._signals.get()
        finally:
            self._end(threads)

    def _build_worker(self) -> None:
        settings, intervals = self._settings, self._settings.intervals
        signer = Signer("controller", private_from_pem(_read(settings.signing_key)))
        outbound = Outbound(controller_app(settings.redis_url), redis_client(settings.redis_url), signer)
        leases = Leases(
            claim=intervals.delta("claim"),
            first=intervals.delta("lease"),
            longest=intervals.delta("longest_lease"),
            silence=intervals.delta("silence"),
        )
        dispatcher = Dispatcher(
            self._store, outbound, clock=_now, metrics=self._metrics, leases=leases, idle=intervals.dispatch
        )
        self._add(Loop("dispatch", dispatcher.step))

    def _build_engine(self) -> None:
        intervals = self._settings.intervals
        engine = Engine(
            self._store,
            clock=_now,
            dispatch=self._waker("dispatch"),
            tick=intervals.tick,
            lease=intervals.delta("rollout_lease"),
        )
        self._add(Loop("engine", engine.step))
        self._farewells.append(engine.release)

    def _build_ingest(self) -> None:
        intervals = self._settings.intervals
        inbox = Inbox(redis_client(self._settings.redis_url), lease=intervals.ingest_lease)
        ingest = Ingest(
            self._store,
            inbox,
            clock=_now,
            wake=self._waker("engine"),
            metrics=self._metrics,
            silence=intervals.delta("silence"),
        )
        housekeeping = Housekeeping(self._store, clock=_now, metrics=self._metrics, keep=self._settings.keep_events)
        self._add(Loop("ingest", ingest.step))
        self._add(Loop("housekeeping", housekeeping.step))
        self._farewells.append(ingest.release)

    def _add(self, loop: Loop) -> None:
        self._loops[loop.name] = loop

    def _waker(self, *names: str) -> Callable[[], None]:
        """Return what wakes these loops if they are of this process; those of another look around by themselves."""

        def wake() -> None:
            for name in names:
                if loop := self._loops.get(name):
                    loop.wake()

        return wake

    def _prepare_database(self) -> None:
        # One machine's own file is brought up to date at once. A database that several processes share is not
        # changed under them: somebody says when.
        if self._store.database == "sqlite":
            self._store.migrate()
        else:
            self._store.check()

    def _open_ports(self) -> None:
        settings = self._settings
        if settings.metrics_port is not None:
            try:
                start_http_server(settings.metrics_port, addr="127.0.0.1", registry=self._metrics.registry)
            except OSError as error:
                raise ConflictError(
                    f"cannot serve metrics on port {settings.metrics_port}: {error}", cure="choose another metrics_port"
                ) from error
        if Part.API in self._parts:
            fleet = Fleet(self._store, clock=_now, wake=self._waker("engine", "dispatch"))
            self._server = serve_api(fleet, TlsFiles.from_folder(settings.tls_dir), settings.listen)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._signals.put(number)

    def _end(self, threads: Collection[threading.Thread]) -> None:
        if self._server is not None:
            self._server.stop(_GRACE).wait()
        for loop in self._loops.values():
            loop.stop()
        for thread in threads:
            if thread.ident is not None:
                thread.join()
        for farewell in self._farewells:
            try:
                farewell()
            except FleetError as error:
                log.warning("lease not given back, it ends by itself", error=error.message)
        self._store.close()
        log.info("controller ended")


def _now() -> datetime:
    return datetime.now(UTC)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read signing key {path}: {error.strerror}", cure="set orders_key, or copy orders.key there"
        ) from error
