"""The settings files of a fleet on one machine: what an operator would write by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

#: Health checks of a virtual node: it is up at once, and its services are what the image lists.
_HEALTH = """
[health.boot.options]
min_uptime = 0.5

[health.service.options]
units = ["app.service"]
"""


def agent(*, node_id: str, folder: Path, redis_url: str, listen: str, tls_dir: Path) -> str:
    """Return ``agent.toml`` of a virtual node that lives in ``folder``."""
    return (
        _toml(
            {
                "node_id": node_id,
                "state_dir": folder / "state",
                "disk": folder / "disk.img",
                "redis_url": redis_url,
                "listen": listen,
                "tls_dir": tls_dir,
                "hooks_dir": folder / "hooks",
                "boot_file": folder / "run/boot.json",
                "log_format": "console",
            }
        )
        + _HEALTH
    )


def controller(*, folder: Path, redis_url: str, listen: str, tls_dir: Path, intervals: Mapping[str, float]) -> str:
    """Return ``controller.toml`` of the controller that lives in ``folder``."""
    table = "".join(f"{name} = {seconds}\n" for name, seconds in intervals.items())
    return (
        _toml(
            {
                "database_url": f"sqlite:///{folder}/controller.db",
                "redis_url": redis_url,
                "listen": listen,
                "tls_dir": tls_dir,
            }
        )
        + f"\n[intervals]\n{table}"
    )


def _toml(values: Mapping[str, object]) -> str:
    # A JSON string is a TOML string as well.
    return "".join(f"{name} = {json.dumps(str(value))}\n" for name, value in values.items())
