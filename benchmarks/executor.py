"""What an executor costs a node: memory idle and after an update, CPU while idle, seconds to start and to end.

Run from the checkout: ``.venv/bin/python benchmarks/executor.py [--base | --agent BIN/matic-agent] [--idle SECONDS]``.
``--base`` first makes a virtual environment with nothing but the base dependencies, as on a node (a minute, and a
package index); ``--agent`` names the program in one that is there already. Without them, that of this environment is
measured: it shares its libraries with the processes around it, so that they cannot be paged out.

The executor is a real process on a virtual node, with Redis, TLS and a real image. Absolute figures depend on the
machine, so each comes with a yardstick from the same run and interpreter: a process that has imported Celery, its Redis
transport and gRPC and does nothing, and ``python -c pass``.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import grpc
import psutil
from grpc_health.v1 import health_pb2

from deploy.local.fleet import FleetPlan, LocalFleet, tool
from deploy.local.service import Service
from deploy.local.waiting import wait_until
from shared.tls import TlsFiles, open_channel

_ROUNDS = 5
#: Megabytes that an executor may take, by its requirements.
_BUDGET = 80
#: Seconds after which the executor has given memory back; see ``node_executor.memory``.
_SETTLE = 8
_YARDSTICK = "import celery, celery.worker, kombu.transport.redis, grpc; print('ready', flush=True); input()"


def megabytes(pid: int) -> float:
    """Return resident memory in units of 10^6 bytes."""
    return float(psutil.Process(pid).memory_info().rss) / 1e6


def base_environment(folder: Path) -> Path:
    """Install this checkout without extras into a new virtual environment; return its ``matic-agent``."""
    checkout, environment = Path(__file__).parents[1], folder / "base"
    # A build leaves its files beside the sources.
    ignored = shutil.ignore_patterns(".*", "build", "*.egg-info", "tests")
    shutil.copytree(checkout, folder / "sources", ignore=ignored)
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    subprocess.run([str(environment / "bin/pip"), "install", "--quiet", str(folder / "sources")], check=True)
    return environment / "bin/matic-agent"


def yardstick(python: Path) -> float:
    """Return the memory of a process that has imported the two libraries that a node cannot do without."""
    command = [str(python), "-c", _YARDSTICK]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{python} lacks Celery or gRPC")
        used = megabytes(process.pid)
        process.communicate("\n")
    return used


def median_seconds(action: Callable[[], object]) -> float:
    """Return the median seconds of a few runs."""
    found = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        action()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def serving(address: str, tls: TlsFiles) -> None:
    """Return as soon as the executor's API says that it serves. Raises RpcError after 60 seconds."""
    # A channel that was refused once waits a second before it tries again; so the clock would be the channel's.
    end = time.monotonic() + 60
    while True:
        with open_channel(address, tls) as channel:
            ask = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            try:
                ask(health_pb2.HealthCheckRequest(), timeout=10)
            except grpc.RpcError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.005)
            else:
                return


class Measured:
    """The one node of a small fleet, and its executor."""

    def __init__(self, fleet: LocalFleet) -> None:
        self.fleet = fleet
        (self.node,) = fleet.nodes.values()
        (self.address,) = fleet.node_addresses.values()
        self.tls = TlsFiles.from_folder(fleet.admin_tls)

    @property
    def pid(self) -> int:
        """The executor's process."""
        wait_until(lambda: self.node.pid is not None, "the executor to run")
        return self.node.pid or 0

    def resident(self, after: str) -> float:
        """Print and return the memory a little later, when the executor has given back what it does not need."""
        time.sleep(_SETTLE)
        process = psutil.Process(self.pid).memory_full_info()
        print(f"memory {after:24} {process.rss / 1e6:6.1f} MB resident, {process.uss / 1e6:5.1f} MB shared with nobody")
        return float(process.rss) / 1e6

    def update(self, version: str) -> None:
        """Carry an update out, and wait until it is committed."""
        release = self.fleet.build_release(version)
        self.fleet.osctl(
            "schedule", "update", "--node", self.node.node_id, "--source", self.fleet.source(release),
            "--sha256", release.sha256, "--health-check-interval", "1", "--wait", "--timeout", "120s",
        )  # fmt: skip

    def idle_percent(self, seconds: float) -> float:
        """Return the share of one core that the executor takes over ``seconds``."""
        process = psutil.Process(self.pid)
        before = process.cpu_times()
        time.sleep(seconds)
        after = process.cpu_times()
        return float(after.user + after.system - before.user - before.system) / seconds * 100

    def start_and_end(self, agent: Path) -> tuple[float, float]:
        """Return the median seconds from exec to an API that serves, and from SIGTERM to the end of the process."""
        self.node.stop()
        log = self.fleet.folder / "bare.log"
        config = self.fleet.folder / self.node.node_id / "agent.toml"
        service = Service([str(agent), "run", "--config", str(config)], log=log)
        starts, ends = [], []
        for _ in range(_ROUNDS):
            began = time.perf_counter()
            service.start()
            serving(self.address, self.tls)
            starts.append(time.perf_counter() - began)
            time.sleep(1)  # idle: it has reached Redis
            began = time.perf_counter()
            service.stop()
            ends.append(time.perf_counter() - began)
        return statistics.median(starts), statistics.median(ends)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--agent", type=Path, default=tool("matic-agent"), help="matic-agent of another environment")
    parser.add_argument("--idle", type=float, default=20.0, help="seconds over which CPU is measured")
    parser.add_argument("--base", action="store_true", help="measure in a new environment with base dependencies only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fleet-") as folder:
        agent = base_environment(Path(folder)) if options.base else options.agent.absolute()
        python = agent.parent / "python"
        bare = yardstick(python)
        plan = FleetPlan(nodes=1, slot_mib=24, payload_mib=8)
        with LocalFleet(Path(folder), plan) as fleet:
            measured = Measured(fleet)
            measured.node.stop()
            measured.node.agent = agent
            measured.node.start()
            print(f"memory {'of a bare import':24} {bare:6.1f} MB: Celery and gRPC, and nothing else")
            idle = measured.resident("after the start")
            measured.update("2.0.0")
            updated = measured.resident("after an update")
            verdict = "within" if max(idle, updated) <= _BUDGET else "BEYOND"
            print(f"       ratio {idle / bare:.2f} and {updated / bare:.2f} of the bare import; {verdict} {_BUDGET} MB")
            print(
                f"idle   {measured.idle_percent(options.idle):.2f} % of a core over {options.idle:g} s, Redis connected"
            )
            start, end = measured.start_and_end(agent)
            nothing = median_seconds(lambda: subprocess.run([str(python), "-c", "pass"], check=True))
            print(
                f"start  {start:.2f} s to a serving API, {start / nothing:.0f} times `python -c pass` ({nothing:.3f} s)"
            )
            print(f"end    {end:.2f} s from SIGTERM to the end of the process")


if __name__ == "__main__":
    main()
