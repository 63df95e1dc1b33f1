"""``osctl demo``: a whole fleet on this machine, an update in waves, a node that rolls back, a bad image stopped.

Everything on the screen is done by the commands that are shown; nothing is acted. At the end the outcome is checked
against what the story promises, and the exit code says whether it held: 0 yes, 1 no, 130 interrupted.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from deploy.local import demo_checks
from deploy.local.fleet import FleetPlan, LocalFleet, tool
from deploy.local.images import Release
from shared.errors import FleetError

GOOD, BAD = "2.0.0", "3.0.0"
#: The node on which version 2.0.0 does not come up.
UNLUCKY = "node-07"
_HALTED = 12  # osctl's exit code for a rollout that its threshold has stopped

_NEXT = """
What to try next
  ./osctl demo --keep                      the same, and the fleet stays up for you to play with
  ./osctl schedule update --help           one update on one node, with a window and hooks
  ./osctl rollout create --help            waves, soak times, thresholds
  docs/concepts.md                         what happened just now, in words
  docs/howto/operate.md                    real nodes, a real controller
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return its exit code."""
    options = _parser().parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="matic-demo-"))
    try:
        return _run(folder, options)
    except KeyboardInterrupt:
        _say("\ninterrupted: ending what was started")
        return 130
    except (FleetError, TimeoutError, RuntimeError, OSError) as error:
        _say(f"\nerror: the demo could not go on: {error}")
        _say(_logs(folder))
        return 1
    finally:
        # A second Ctrl-C must not leave half of it behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        shutil.rmtree(folder, ignore_errors=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="osctl demo", description="A whole fleet on this machine.")
    parser.add_argument("--nodes", type=_node_count, default=12, help="virtual nodes, 8 to 100 (default 12)")
    parser.add_argument("--keep", action="store_true", help="leave the fleet running until Ctrl-C")
    return parser


def _node_count(text: str) -> int:
    count = int(text)
    if not 8 <= count <= 100:  # noqa: PLR2004 - fewer make no waves, more do not fit on a small machine
        raise argparse.ArgumentTypeError(f"{count} nodes: choose between 8 and 100")
    return count


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _run(folder: Path, options: argparse.Namespace) -> int:
    begun = time.monotonic()
    plan = FleetPlan(nodes=options.nodes, broken={UNLUCKY: {GOOD: ("app.service",)}})
    _say(f"MaticOS Fleet: {plan.nodes} nodes on this machine, everything in {folder}\n")
    # The fleet must be ended however this ends: an interrupt can come at any line.
    fleet = LocalFleet(folder, plan, report=lambda what: _say(f"  starting {what}"))
    with fleet:
        _say(f"  up after {time.monotonic() - begun:.0f} s")
        act_one(fleet)
        act_two(fleet)
        problems = demo_checks.problems(fleet, good=GOOD, unlucky=UNLUCKY, bad=BAD)
        _say(f"\n{'-' * 100}")
        for problem in problems:
            _say(f"NOT AS PROMISED: {problem}")
        if not problems:
            _say(f"As promised, on all {plan.nodes} disks and in the history. {time.monotonic() - begun:.0f} s in all.")
            _say(_NEXT)
        if options.keep:
            _keep(fleet)
    return 1 if problems else 0


def act_one(fleet: LocalFleet) -> None:
    """Version 2.0.0 goes out in three waves; one node comes back."""
    release = fleet.build_release(GOOD)
    _say(f"\nACT ONE. Version {GOOD} goes out: a canary, a quarter, all. On {UNLUCKY} its app will not start.")
    _roll_out(fleet, "spring", release, max_failed=1)
    _show(fleet, "node", "list")
    _say(f"\n{UNLUCKY} booted the new slot, found app.service dead, and went back by itself. Why, says the history:")
    _show(fleet, "rollback", "history", "--all")


def act_two(fleet: LocalFleet) -> None:
    """A bad image is stopped at the canary."""
    release = fleet.build_release(BAD, missing=("app.service",))
    _say(f"\nACT TWO. Version {BAD} is bad: its app is missing from the image. Nobody knows yet.")
    _roll_out(fleet, "summer", release, max_failed=0, expect=_HALTED)
    _say("\nOne canary tried it and went back. Every other node was left alone:")
    _show(fleet, "rollout", "list")


def _roll_out(fleet: LocalFleet, name: str, release: Release, *, max_failed: int, expect: int = 0) -> None:
    what = ["--source", fleet.source(release), "--sha256", release.sha256, "--version", release.version]
    how = ["--waves", "1,25%,100%", "--max-failed", str(max_failed), "--health-check-timeout", "4", "--wait"]
    _show(fleet, "rollout", "create", "--name", name, "--all", *what, *how, expect=expect)


def _show(fleet: LocalFleet, *arguments: str, expect: int = 0) -> None:
    """Run osctl on this very screen, showing the command first."""
    _say(f"\n$ osctl {' '.join(_shortened(argument) for argument in arguments)}")
    code = subprocess.run([str(tool("osctl")), *arguments], env=fleet.environment(), check=False).returncode
    if code != expect:
        raise RuntimeError(f"osctl {' '.join(arguments[:2])} ended with {code}, expected {expect}")


def _shortened(argument: str) -> str:
    return f"{argument[:12]}..." if len(argument) == 64 and argument.isalnum() else argument  # noqa: PLR2004 - a sha256


def _keep(fleet: LocalFleet) -> None:
    _say(f"The fleet stays up. In another terminal:\n\n  export OSCTL_CONFIG={fleet.folder}/osctl.json")
    _say("  ./osctl node list\n  ./osctl rollout list\n\nCtrl-C ends it.")
    signal.pause()


def _logs(folder: Path) -> str:
    tails = []
    for log in (folder / "controller.log", *sorted(folder.glob("node-*/console.log"))[:2]):
        if log.exists():
            lines = log.read_text(errors="replace").splitlines()[-8:]
            tails.append(f"last lines of {log.name}:\n" + "\n".join(f"  {line}" for line in lines))
    return "\n".join(tails)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
