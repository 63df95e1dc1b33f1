"""``python -m deploy.local.up``: a fleet on this machine without a story, for scripts and for trying things by hand.

Writes ``fleet.env`` into the folder once everything answers: shell variables that name the fleet, a good release and
a bad one. Runs until it is told to end (SIGINT, SIGTERM).
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from deploy.local.fleet import FleetPlan, LocalFleet
from shared.durable import write_bytes

GOOD, BAD = "2.0.0", "3.0.0"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the fleet until a signal comes; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.local.up", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where everything is put; a short path, on a disk with room")
    parser.add_argument("--nodes", type=int, default=1)
    parser.add_argument("--slot-mib", type=int, default=16)
    options = parser.parse_args(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    plan = FleetPlan(nodes=options.nodes, slot_mib=options.slot_mib, payload_mib=2)
    try:
        with LocalFleet(options.folder.absolute(), plan, report=_say) as fleet:
            write_bytes(fleet.folder / "fleet.env", variables(fleet).encode())
            _say(f"up; its variables are in {fleet.folder}/fleet.env")
            while True:
                signal.pause()
    except KeyboardInterrupt:
        return 0


def variables(fleet: LocalFleet) -> str:
    """Return shell assignments that name the fleet and two releases."""
    lines = {
        "OSCTL_CONFIG": fleet.environment()["OSCTL_CONFIG"],
        "CONTROLLER": fleet.controller_address,
        "ADMIN_TLS": str(fleet.admin_tls),
    }
    for name, version, missing in (("GOOD", GOOD, ()), ("BAD", BAD, ("app.service",))):
        release = fleet.build_release(version, missing=missing)
        lines |= {f"{name}_URL": fleet.source(release), f"{name}_SHA256": release.sha256, f"{name}_VERSION": version}
    for number, (node_id, address) in enumerate(fleet.node_addresses.items(), 1):
        lines |= {f"NODE_{number}": node_id, f"NODE_{number}_ADDRESS": address}
        lines |= {f"NODE_{number}_STATE": str(fleet.folder / node_id / "state")}
    return "".join(f"export {name}='{value}'\n" for name, value in lines.items())


def _end(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
