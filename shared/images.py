"""The image: the thing that is flashed, named by its content."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

#: URL schemes that a node can fetch from.
SCHEMES = ("http", "https", "file")


def _sha256(value: str) -> str:
    value = value.lower()
    if len(value) != 64 or set(value) - set("0123456789abcdef"):  # noqa: PLR2004 - SHA-256 has 64 hex digits
        raise ValueError(f"sha256 {value!r} must be 64 hexadecimal digits")
    return value


def _source(value: str) -> str:
    # Python's parser drops tabs and newlines without a word; what is checked here must be what is fetched later.
    if not value.isprintable() or " " in value:
        raise ValueError(f"source {value!r} holds spaces or control characters: write them as %20 and the like")
    try:
        parts = urlsplit(value)
        _ = parts.port  # parsed, and refused, only when it is read
    except ValueError as error:
        raise ValueError(f"source {value!r} is not a URL: {error}") from error
    if parts.scheme not in SCHEMES:
        raise ValueError(f"source {value!r} must start with http://, https:// or file://")
    if parts.scheme == "file" and parts.netloc not in ("", "localhost"):
        raise ValueError(f"source {value!r} names host {parts.netloc!r}: write file:///path")
    if parts.scheme == "file" and not parts.path.startswith("/"):
        raise ValueError(f"source {value!r} names no absolute path: write file:///path")
    if parts.scheme != "file" and not parts.hostname:
        raise ValueError(f"source {value!r} names no host")
    return value


Sha256 = Annotated[str, AfterValidator(_sha256)]
SourceUrl = Annotated[str, AfterValidator(_source)]


class Image(BaseModel):
    """What to flash. Frozen; identity is ``sha256`` of the bytes as they lie in the slot."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    source: SourceUrl  #: where the bytes come from
    sha256: Sha256  #: 64 lower-case hex digits
    size: int | None = Field(default=None, gt=0)  #: bytes; None: as many as the source announces
    version: str = Field(default="", max_length=128)  #: as in the image's os-release; "" means unchecked
    architecture: str = ""  #: "x86_64", "aarch64"; "" means unchecked
    compatible: str = ""  #: node model it fits; "" means any
