"""How patient the flasher is. All times in seconds."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class FlashSettings(BaseModel):
    """Limits of one transfer; the defaults ride out about two minutes without the source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ca_file: Path | None = None  #: PEM bundle trusted for https instead of the system's
    connect_timeout: float = Field(default=10.0, gt=0)  #: for the name, the connection and the TLS handshake
    read_timeout: float = Field(default=30.0, gt=0)  #: without a single byte
    attempts: int = Field(default=8, ge=1)  #: connections in a row that bring nothing
    first_wait: float = Field(default=1.0, ge=0)  #: doubles with each fruitless connection, with jitter
    longest_wait: float = Field(default=30.0, ge=0)
    max_connections: int = Field(default=1000, ge=1)  #: in one transfer, fruitful ones too
    redirects: int = Field(default=5, ge=0)
