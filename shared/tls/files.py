"""The three files that a party shows and checks others with, and what can be wrong with them before any network."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from shared.errors import TlsError

_REISSUE = "issue a new certificate for it and copy the whole folder"


@dataclass(frozen=True)
class TlsFiles:
    """Paths of PEM files. Without ``cert`` and ``key`` no certificate is shown; every service of ours refuses that."""

    ca: Path  #: the CA certificates that the other side's certificate must come from
    cert: Path | None = None  #: own certificate, leaf first
    key: Path | None = None  #: its private key, not encrypted

    @classmethod
    def from_folder(cls, folder: Path) -> TlsFiles:
        """Return the files of an identity's folder: ``ca.crt``, ``tls.crt`` and ``tls.key``."""
        return cls(ca=folder / "ca.crt", cert=folder / "tls.crt", key=folder / "tls.key")

    def read(self) -> tuple[bytes, bytes | None, bytes | None]:
        """Return the contents of CA, certificate and key.

        Raises:
            TlsError: a file cannot be read.
        """
        return (
            read_file("CA certificate", self.ca),
            read_file("certificate", self.cert) if self.cert else None,
            read_file("private key", self.key) if self.key else None,
        )


def read_file(what: str, path: Path) -> bytes:
    """Return the bytes of ``path``.

    Raises:
        TlsError: it cannot be read, or is empty; ``what`` names it in the message.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        cure = (
            "name the folder of an identity that the CA has issued"
            if isinstance(error, FileNotFoundError)
            else ("run as the user who owns the file")
        )
        raise TlsError(f"cannot read {what} {path}: {error.strerror or error}", cure=cure) from error
    if not content:  # what a full disk leaves of a copy; gRPC aborts the whole process when it is handed one
        raise TlsError(f"cannot read {what} {path}: it is empty", cure=_REISSUE)
    return content


def _certificates(what: str, path: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise TlsError(f"cannot read {what} {path}: it is not a PEM certificate", cure=_REISSUE) from error


def _check_key(path: Path, pem: bytes, leaf: x509.Certificate) -> None:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TlsError(f"cannot read private key {path}: it is not a plain PEM key", cure=_REISSUE) from error
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise TlsError(f"cannot use private key {path}: it belongs to another certificate", cure=_REISSUE)


def _check_times(what: str, path: Path, certificate: x509.Certificate, now: datetime) -> None:
    starts, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > ends:
        raise TlsError(
            f"cannot use {what} {path}: it expired on {ends:%Y-%m-%d at %H:%M:%S} UTC",
            cure=f"{_REISSUE}; if that is still to come, set this machine's clock",
        )
    if now < starts:
        raise TlsError(
            f"cannot use {what} {path}: it is not valid before {starts:%Y-%m-%d at %H:%M:%S} UTC",
            cure="set this machine's clock",
        )


def _issued_by(leaf: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def check_files(files: TlsFiles, now: datetime | None = None) -> None:
    """Check everything about ``files`` that can be known without a network.

    Args:
        files: what to check.
        now: the instant at which the certificates must be valid; None: the system clock.

    Raises:
        TlsError: a file is missing or unreadable, a certificate is expired or not yet valid, the key belongs to
            another certificate, or the certificate was issued by none of the CA certificates.
    """
    now = now or datetime.now(UTC)
    ca_pem, cert_pem, key_pem = files.read()
    authorities = _certificates("CA certificate", files.ca, ca_pem)
    for authority in authorities:
        _check_times("CA certificate", files.ca, authority, now)
    if files.cert is None or files.key is None or cert_pem is None or key_pem is None:
        return
    leaf = _certificates("certificate", files.cert, cert_pem)[0]
    _check_key(files.key, key_pem, leaf)
    _check_times("certificate", files.cert, leaf, now)
    if not any(_issued_by(leaf, authority) for authority in authorities):
        raise TlsError(
            f"cannot use certificate {files.cert}: it was not issued by the CA in {files.ca}",
            cure="take certificate, key and ca.crt from one folder of one CA",
        )
