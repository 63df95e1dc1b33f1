"""The executor as a whole: the one place where its objects are built, and the order in which its threads live.

Threads: the main one is the Celery worker on the node's queue (or, without Redis, waits for the end); ``runner`` works
on updates; ``outbox`` delivers events; ``api-*`` answer calls; ``signals`` and ``memory`` sleep until something is to
be done. All meet in ``NodeState`` and nowhere else.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import queue
import signal
import threading
from functools import partial
from pathlib import Path
from types import FrameType

import structlog

from node_executor import hold
from node_executor.api import ApiServer, NodeService
from node_executor.boot.control import GptBootControl
from node_executor.boot.geometry import slot_region
from node_executor.clock import SystemClock
from node_executor.desk import Desk
from node_executor.flash.flasher import SlotFlasher
from node_executor.health import CheckContext, HealthChecker, plan_checks
from node_executor.health_book import HealthBook
from node_executor.hooks import FolderHookRunner
from node_executor.host import BootFileHost, LinuxHost
from node_executor.journal import Journal
from node_executor.memory import Tidier
from node_executor.notify import notify
from node_executor.outbox import Outbox
from node_executor.ports import Host, Rebooter
from node_executor.reboot import MarkerRebooter, SystemdRebooter
from node_executor.rollback import RollbackBook
from node_executor.runner import Runner
from node_executor.settings import Settings
from node_executor.state import NodeConfig, NodeState, Ports
from shared.durable import DurableFile
from shared.errors import ConflictError, InputError, StateFileError
from shared.messages import Event
from shared.signing import Signer, private_from_pem, public_from_text
from shared.states import EventKind
from shared.tls import TlsFiles

log = structlog.get_logger(__name__)

#: Names of the files in the state folder.
JOURNAL, ROLLBACK_STATE, OUTBOX, LOCK = "update-schedule.json", "rollback_state.json", "outbox.sqlite", "lock"


class Agent:
    """One running executor. ``run`` returns the process's exit code."""

    def __init__(self, settings: Settings) -> None:
        """Build everything; nothing is started, nothing on the disk is changed but the state folder's lock.

        Raises:
            FleetError: a file cannot be used, the port is taken, or another executor runs on this state folder.
        """
        self._settings = settings
        self._stop = threading.Event()
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()  # its `put` may be called from signal handlers
        self._tidier = Tidier()
        self._lock = _lock(settings.state_dir)
        tls = TlsFiles.from_folder(settings.tls_dir)
        signer = Signer(settings.node_id, private_from_pem(_read(settings.tls_dir / "events.key")))
        self._outbox = Outbox(settings.state_dir / OUTBOX, signer)
        self._runner_thread = threading.Thread(target=self._work, name="runner")
        host, rebooter = _machine(settings)
        context = CheckContext(
            uptime=host.uptime, executor_alive=self._runner_thread.is_alive, api_address=settings.listen, tls=tls
        )
        health = HealthBook(HealthChecker(plan_checks(settings.health), context))
        self._state = NodeState(
            config=_config(settings),
            ports=Ports(
                host=host,
                boot=GptBootControl(settings.disk),
                flasher=SlotFlasher(partial(slot_region, settings.disk), host.running_slot, settings.flash),
                health=health,
                hooks=FolderHookRunner(settings.hooks_dir, settings.hook_timeout),
                rebooter=rebooter,
            ),
            journal=Journal(DurableFile(settings.state_dir / JOURNAL)),
            book=RollbackBook(DurableFile(settings.state_dir / ROLLBACK_STATE)),
            report=self._report,
            clock=SystemClock(),
        )
        self._desk = Desk(self._state)
        holding = hold.at_files_in(settings.hold_dir, self._stop) if settings.hold_dir else hold.never
        self._runner = Runner(self._state, hold=holding)
        self._api = ApiServer(NodeService(self._state, self._desk, health), settings.listen, tls)
        self._failed = False

    def run(self) -> int:
        """Work until SIGTERM or SIGINT; return 0, or 1 if the runner died of a bug."""
        threading.Thread(target=self._end_when_asked, name="signals", daemon=True).start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        try:  # from the first thread on: whatever cannot start, the others must end, or the process would stay
            self._api.start()
            self._runner_thread.start()
            self._tidier.start()
            if self._settings.redis_url:
                self._outbox.start(self._settings.redis_url)
            notify(f"READY=1\nSTATUS=serving on {self._api.address}")
            log.info("executor started", address=self._api.address, version=agent_version(), pid=os.getpid())
            self._take_orders()
        finally:
            self.stop()
        return 1 if self._failed else 0

    def stop(self) -> None:
        """End every thread in order; what is unfinished is taken up at the next start."""
        notify("STOPPING=1")
        self._stop.set()
        self._state.stop()
        if self._runner_thread.is_alive():
            self._runner_thread.join()
        self._api.stop()
        self._outbox.close()
        self._tidier.stop()
        os.close(self._lock)
        log.info("executor stopped")

    def _report(self, event: Event) -> None:
        self._outbox.append(event)
        if event.kind in (EventKind.HELLO, EventKind.OUTCOME):
            self._tidier.soon()  # starting up is over, or an update is

    def _take_orders(self) -> None:
        url = self._settings.redis_url
        if not url:
            self._stop.wait()
            return
        from node_executor.intake import Intake, run_worker  # noqa: PLC0415 - Celery: 20 MB that a lone node saves
        from shared.celery_app import node_app  # noqa: PLC0415 - likewise

        key = public_from_text(_read(self._settings.tls_dir / "orders.pub").decode(errors="replace"))
        app = node_app(self._settings.node_id, url)
        Intake(
            node_id=self._settings.node_id, key=key, take=self._desk.take, refuse=self._desk.refuse, stop=self._stop
        ).attach(app)
        self._tidier.soon()
        run_worker(app, self._stop)

    def _work(self) -> None:
        try:
            self._runner.run()
        except Exception:
            log.exception("the runner died: the executor ends, to be started again")
            self._failed = True
            self._stop.set()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # This runs in the middle of anything, another call of itself included: locks of events and logs may be held.
        del frame
        self._signals.put(number)

    def _end_when_asked(self) -> None:
        while True:
            log.info("asked to end", signal=signal.Signals(self._signals.get()).name)
            self._stop.set()


def agent_version() -> str:
    """Return the version of the installed executor."""
    return importlib.metadata.version("maticos-fleet")


def _config(settings: Settings) -> NodeConfig:
    return NodeConfig(
        node_id=settings.node_id,
        compatible=settings.compatible,
        agent_version=agent_version(),
        transport_tries=settings.transport_tries,
        reboot_timeout=settings.reboot_timeout,
    )


def _machine(settings: Settings) -> tuple[Host, Rebooter]:
    if settings.boot_file is not None:
        return BootFileHost(settings.boot_file), MarkerRebooter(settings.boot_file)
    return LinuxHost(settings.disk), SystemdRebooter()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}", cure="issue the node's keys again and set `tls_dir`"
        ) from error


def _lock(state_dir: Path) -> int:
    """Lock the state folder for this process: two executors on one node would undo each other's work."""
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(state_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateFileError(
            f"cannot use state folder {state_dir}: {error.strerror}", cure="set `state_dir`"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise ConflictError(f"cannot use state folder {state_dir}: another executor runs on it") from error
    return descriptor
