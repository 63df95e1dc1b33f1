"""The executor's settings: TOML file, then environment (``MATIC_...``), validated once at start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from node_executor.flash.settings import FlashSettings
from node_executor.health.check import CheckSettings
from shared.queues import valid_node_id
from shared.settings import ListenAddress, SettingsModel, load_settings

#: Where a real node keeps them.
DEFAULT_FILE = Path("/etc/matic/agent.toml")


def _node_id(value: str) -> str:
    if not valid_node_id(value):
        raise ValueError(f"node id {value!r} must be 1 to 63 of a-z 0-9 . _ - and start and end with a-z 0-9")
    return value


class Settings(SettingsModel):
    """Everything that can be set."""

    node_id: Annotated[str, AfterValidator(_node_id)]
    state_dir: Path = Path("/var/lib/matic")  #: journal, rollback state and outbox; survives updates
    disk: Path  #: block device or image file with both slots
    redis_url: str | None = None  #: where orders come from; None: this node takes no orders from a fleet
    listen: ListenAddress = "0.0.0.0:50051"  #: host:port of the node's own API
    tls_dir: Path  #: tls.crt tls.key ca.crt orders.pub events.key
    hooks_dir: Path = Path("/etc/matic/hooks.d")  #: executables that updates may name
    hook_timeout: float = Field(default=300.0, gt=0)  #: seconds
    boot_file: Path | None = None  #: facts of a virtual node's boot; None: a real node with systemd
    compatible: str = ""  #: this node's model; images that name another are refused
    health: dict[str, CheckSettings] = Field(default_factory=dict)  #: by name of the check
    flash: FlashSettings = FlashSettings()
    transport_tries: int = Field(default=12, ge=1)  #: times that an unreachable source is tried in one phase
    reboot_timeout: float = Field(default=600.0, gt=0)  #: seconds until a reboot counts as refused
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    hold_dir: Path | None = None  #: for debugging: see ``node_executor.hold``; None: never hold


def load(path: Path) -> Settings:
    """Return the settings of ``path`` and the environment.

    Raises:
        InputError: not readable, not TOML, or not valid; the message names the setting.
    """
    return load_settings(Settings, path, prefix="MATIC_")
