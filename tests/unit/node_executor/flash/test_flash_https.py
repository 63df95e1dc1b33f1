"""Fetching over TLS: whom the flasher trusts, and what it says of the others."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from node_executor.flash.settings import FlashSettings
from shared.errors import TlsError
from shared.slots import Slot
from tests.support.flash_disk import FAST, MIB, FlashDisk, image, publish
from tests.support.release_server import Fault, FaultyReleaseServer

DATA = os.urandom(2 * MIB + 99)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def disk(tmp_path: Path, authority: trustme.CA) -> FlashDisk:
    publish(tmp_path, DATA)
    authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    return FlashDisk(tmp_path / "disk", settings=trusting(tmp_path / "ca.crt")).create()


def trusting(ca_file: Path | None) -> FlashSettings:
    return FAST.model_copy(update={"ca_file": ca_file})


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture
def server(tmp_path: Path, authority: trustme.CA) -> Iterator[FaultyReleaseServer]:
    context = server_context(authority.issue_cert("127.0.0.1"))
    with FaultyReleaseServer(tmp_path, [Fault(drop_after=MIB)], tls=context) as running:
        yield running


def test_the_named_ca_is_trusted_and_a_dropped_connection_resumed(disk: FlashDisk, server: FaultyReleaseServer) -> None:
    before = disk.outside()

    disk.flash(image(f"{server.url}/image.squashfs", DATA))

    assert disk.read(Slot.B, len(DATA)) == DATA
    assert disk.outside() == before
    assert server.requests[1]["Range"] == f"bytes={MIB}-"


def test_an_unknown_ca_is_refused_at_once(disk: FlashDisk, server: FaultyReleaseServer) -> None:
    disk.settings = trusting(None)

    with pytest.raises(TlsError, match="certificate is refused: unable to get local issuer") as caught:
        disk.flash(image(f"{server.url}/image.squashfs", DATA))

    assert "ca_file" in caught.value.cure
    assert not caught.value.retriable
    assert disk.wiped()


@pytest.mark.parametrize(
    ("name", "days", "says"),
    [
        pytest.param("127.0.0.1", -1, "certificate has expired", id="expired"),
        pytest.param("releases.example", 1, "IP address mismatch", id="other name"),
    ],
)
def test_a_certificate_that_does_not_fit_is_named(  # noqa: PLR0913, PLR0917 - fixtures and one table
    disk: FlashDisk, tmp_path: Path, authority: trustme.CA, name: str, days: int, says: str
) -> None:
    certificate = authority.issue_cert(name, not_after=datetime.now(UTC) + timedelta(days=days))

    with (
        FaultyReleaseServer(tmp_path, tls=server_context(certificate)) as server,
        pytest.raises(TlsError, match=says),
    ):
        disk.flash(image(f"{server.url}/image.squashfs", DATA))


def test_a_server_that_speaks_no_tls_is_named(disk: FlashDisk, tmp_path: Path) -> None:
    with FaultyReleaseServer(tmp_path) as plain, pytest.raises(TlsError, match="TLS handshake failed"):
        disk.flash(image(f"{plain.url}/image.squashfs".replace("http:", "https:"), DATA))


@pytest.mark.parametrize("content", [None, b"not a certificate"], ids=["missing", "not PEM"])
def test_an_unusable_ca_file_is_named(disk: FlashDisk, tmp_path: Path, content: bytes | None) -> None:
    bundle = tmp_path / "bundle.pem"
    if content is not None:
        bundle.write_bytes(content)
    disk.settings = trusting(bundle)

    with pytest.raises(TlsError, match=f"cannot read CA bundle {bundle}"):
        disk.flash(image("https://127.0.0.1:1/image", DATA))
