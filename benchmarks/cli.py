"""How long osctl takes to say something, against ``python -c pass`` as 1.0.

Run from the checkout: ``.venv/bin/python benchmarks/cli.py [--rounds N] [--limit RATIO]``. The rounds are interleaved
and the median counts, since other work on the machine moves the absolute figures. With ``--limit`` it exits 1 when
``osctl --help`` takes more than that many times as long as the bare interpreter.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_OSCTL = str(Path(sys.executable).with_name("osctl"))
_YARDSTICK = "python -c pass"
_COMMANDS = {
    _YARDSTICK: [sys.executable, "-c", "pass"],
    "osctl --help": [_OSCTL, "--help"],
    "osctl rollout --help": [_OSCTL, "rollout", "--help"],
    "osctl doctor": [_OSCTL, "doctor"],
    "osctl rollout create --help": [_OSCTL, "rollout", "create", "--help"],
}


def seconds(command: list[str], environment: dict[str, str]) -> float:
    """Return how long one run takes."""
    begun = time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def measure(rounds: int) -> dict[str, float]:
    """Return the median of each command, in seconds."""
    times: dict[str, list[float]] = {name: [] for name in _COMMANDS}
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "OSCTL_CONFIG": f"{folder}/osctl.json"}
        for _ in range(rounds):
            for name, command in _COMMANDS.items():
                times[name].append(seconds(command, environment))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--limit", type=float)
    arguments = parser.parse_args()
    medians = measure(arguments.rounds)
    base = medians[_YARDSTICK]
    for name, median in medians.items():
        print(f"{name:30} {median * 1000:7.0f} ms {median / base:6.1f}")
    ratio = medians["osctl --help"] / base
    if arguments.limit and ratio > arguments.limit:
        print(f"osctl --help takes {ratio:.1f} times as long as {_YARDSTICK}, more than {arguments.limit:g}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
