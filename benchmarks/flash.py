"""How fast the flasher is, against ``dd`` with O_DIRECT and fsync as 1.00, and how much memory it takes.

Run from the checkout: ``.venv/bin/python benchmarks/flash.py [--size MiB] [--rounds N] [--folder DIR]``. The rounds are
interleaved and the median counts, since other work on the machine moves the absolute figures. The source is a release
server in a process of its own on loopback; dd reads the same image from a file. The flasher runs in a fresh process,
whose peak resident memory is printed beside what its imports alone take.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from deploy.local.release_server import ReleaseServer
from node_executor.flash.flasher import SlotFlasher
from node_executor.flash.region import SlotRegion
from shared.images import Image
from shared.slots import Slot

MIB = 1 << 20


def flash(disk: Path, order: Image) -> dict[str, float]:
    """Flash and verify in this process; return seconds and peak resident MiB."""
    regions = {
        Slot.A: SlotRegion(path=Path("/dev/null"), length=1),
        Slot.B: SlotRegion(path=disk, length=order.size or 0),
    }
    flasher, never = SlotFlasher(regions.__getitem__, lambda: Slot.A), threading.Event()
    before, started = peak(), time.perf_counter()
    flasher.flash(order, Slot.B, lambda *_: None, never)
    written = time.perf_counter()
    flasher.verify(order, Slot.B, lambda *_: None, never)
    return {"flash": written - started, "both": time.perf_counter() - started, "imports": before, "peak": peak()}


def peak() -> float:
    """Return this process's peak resident memory in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


def dd(source: Path, disk: Path) -> float:
    """Return the seconds that dd takes."""
    started = time.perf_counter()
    command = ["dd", f"if={source}", f"of={disk}", "bs=1M", "oflag=direct", "conv=notrunc,fsync", "status=none"]
    subprocess.run(command, check=True)
    return time.perf_counter() - started


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="image size in MiB")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="on the disk to measure")  # noqa: S108 - a default for people
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.worker:
        print(json.dumps(flash(Path(wanted.worker[0]), Image.model_validate_json(wanted.worker[1]))))
    elif wanted.serve:
        with ReleaseServer(wanted.serve) as server:
            print(server.url, flush=True)
            sys.stdin.read()
    else:
        with tempfile.TemporaryDirectory(dir=wanted.folder) as folder:
            measure(Path(folder), wanted.size * MIB, wanted.rounds)


def measure(folder: Path, size: int, rounds: int) -> None:
    """Interleave the rounds and print medians."""
    digest = hashlib.sha256()
    with (folder / "image").open("wb") as file:
        for _ in range(size // MIB):
            block = os.urandom(MIB)
            digest.update(block)
            file.write(block)
        os.fsync(file.fileno())
    disk = folder / "disk"
    with disk.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    baseline: list[float] = []
    ours: dict[str, list[dict[str, float]]] = {"http": [], "file": []}
    with subprocess.Popen(
        [sys.executable, __file__, "--serve", folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        if server.stdout is None:
            raise SystemExit("the release server did not start")
        sources = {"http": f"{server.stdout.readline().strip()}/image", "file": (folder / "image").as_uri()}
        dd(folder / "image", disk)  # allocates the extents for good and warms the image's pages, for everybody
        for _ in range(rounds):
            baseline.append(dd(folder / "image", disk))
            for name, source in sources.items():
                order = Image(source=source, sha256=digest.hexdigest(), size=size)
                command = [sys.executable, __file__, "--worker", str(disk), order.model_dump_json()]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
                ours[name].append(json.loads(done.stdout))
        server.communicate()
    table(size, baseline, ours)


def table(size: int, baseline: list[float], ours: dict[str, list[dict[str, float]]]) -> None:
    """Print ratios of throughput: more is better."""
    one = statistics.median(baseline)
    print(f"{size // MIB} MiB, median of {len(baseline)} rounds; throughput, dd = 1.00")
    print(f"{'dd O_DIRECT + fsync':38}{1:5.2f}{one:8.2f} s")
    for name, rows in ours.items():
        for label, key in (("", "flash"), (" and read back", "both")):
            took = statistics.median(row[key] for row in rows)
            print(f"{'flash from ' + name + ', sha256' + label:38}{one / took:5.2f}{took:8.2f} s")
    everything = [row for rows in ours.values() for row in rows]
    top, imports = max(row["peak"] for row in everything), max(row["imports"] for row in everything)
    print(f"peak resident memory {top:.0f} MiB, of which interpreter and imports {imports:.0f} MiB")


if __name__ == "__main__":
    main()
