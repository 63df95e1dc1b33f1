"""The controller's settings: TOML file, then environment (``MATIC_CONTROLLER_...``), validated once at start."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.settings import ListenAddress, SettingsModel, load_settings

#: Where an installed controller keeps them.
DEFAULT_FILE = Path("/etc/matic/controller.toml")


class Intervals(BaseModel):
    """How often things are looked at, and how long an answer is waited for; all in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tick: float = Field(default=1.0, gt=0)  #: between two looks of the engine at its rollouts, at most
    dispatch: float = Field(default=1.0, gt=0)  #: between two looks for orders that another process committed
    claim: float = Field(default=15.0, gt=0)  #: that one dispatcher may take to publish what it claimed
    lease: float = Field(default=30.0, gt=0)  #: until an unanswered order is published again; doubled each time
    longest_lease: float = Field(default=300.0, gt=0)  #: the doubling ends here
    silence: float = Field(default=600.0, gt=0)  #: without a word until an accepted order is asked about
    ingest_lease: float = Field(default=15.0, gt=1)  #: until another ingester takes over from a dead one
    rollout_lease: float = Field(default=15.0, gt=0)  #: until another engine takes over from a dead one

    def delta(self, name: str) -> timedelta:
        """Return an interval by name."""
        return timedelta(seconds=getattr(self, name))


class Settings(SettingsModel):
    """Everything that can be set."""

    database_url: str = "sqlite:////var/lib/matic-controller/fleet.sqlite"  #: or postgresql://user@host/name
    redis_url: str = "redis://127.0.0.1:6379/0"  #: redis://, rediss:// or unix://
    listen: ListenAddress = "0.0.0.0:50050"  #: host:port of the API
    tls_dir: Path = Path("/etc/matic/tls")  #: tls.crt tls.key ca.crt orders.key
    orders_key: Path | None = None  #: signs orders; None: orders.key in tls_dir
    metrics_port: int | None = Field(default=None, ge=0, le=65535)  #: serves /metrics on loopback; None: nowhere
    intervals: Intervals = Intervals()
    keep_events_days: float = Field(default=90.0, gt=0)  #: raw events; turns, history and audit are kept for good
    log_format: Literal["json", "console"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @property
    def signing_key(self) -> Path:
        """The file that orders are signed with."""
        return self.orders_key or self.tls_dir / "orders.key"

    @property
    def keep_events(self) -> timedelta:
        """How long raw events are kept."""
        return timedelta(days=self.keep_events_days)


def load(path: Path | None) -> Settings:
    """Return the settings of ``path`` and the environment; None: the default file, if there is one.

    Raises:
        InputError: not readable, not TOML, or not valid; the message names the setting.
    """
    file = path or (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
    return load_settings(Settings, file, prefix="MATIC_CONTROLLER_")
