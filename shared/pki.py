"""A development CA in a folder: certificates and signing keys for every identity of a fleet on one machine.

Layout: ``ca.crt ca.key orders.key orders.pub``, and a folder ``<role>-<name>/`` for each identity with ``tls.crt
tls.key ca.crt``; a node's also holds ``events.key events.pub orders.pub``, the controller's also ``orders.key
orders.pub``. Nothing that exists is ever overwritten; private files are created with mode 0600.
It does not revoke, and its key lies unencrypted on disk: not for production.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from shared import certificates
from shared.errors import ConflictError, InputError, NotFoundError, TlsError
from shared.signing import private_to_pem, public_to_text
from shared.tls.files import TlsFiles, check_files
from shared.tls.identity import Identity, Role

#: Lifetime of a CA made for development.
CA_LIFETIME = timedelta(days=3650)
#: Lifetime of an identity's certificate.
LIFETIME = timedelta(days=90)


def _now() -> datetime:
    return datetime.now(UTC)


def write_new(path: Path, content: bytes, *, private: bool) -> None:
    """Create ``path``, which must not exist; a private file is 0600 from its first instant.

    Raises:
        ConflictError: it exists.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600 if private else 0o644)
    except FileExistsError as error:
        raise ConflictError(f"cannot create {path}: it already exists", cure="name another folder") from error
    with os.fdopen(handle, "wb") as file:
        file.write(content)


@dataclass(frozen=True)
class DevelopmentCa:
    """A CA whose key is loaded. Make one with ``create``, ``load`` or ``ensure``."""

    folder: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    clock: Callable[[], datetime] = _now

    @classmethod
    def create(
        cls, folder: Path, *, lifetime: timedelta = CA_LIFETIME, clock: Callable[[], datetime] = _now
    ) -> DevelopmentCa:
        """Make a new CA and the controller's key for signing orders.

        Raises:
            ConflictError: the folder already holds a CA, or a part of one.
        """
        held = [name for name in ("ca.key", "ca.crt", "orders.key", "orders.pub") if (folder / name).exists()]
        if held:
            raise ConflictError(
                f"cannot create a CA in {folder}: it already holds {', '.join(held)}",
                cure="use the CA that is there, or name another folder; every certificate issued dies with its CA",
            )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = certificates.authority(key, clock(), lifetime)
        orders = Ed25519PrivateKey.generate()
        write_new(folder / "ca.key", _key_to_pem(key), private=True)
        write_new(folder / "orders.key", private_to_pem(orders), private=True)
        write_new(folder / "orders.pub", f"{public_to_text(orders.public_key())}\n".encode(), private=False)
        # Written last: a folder with a ca.crt holds a whole CA.
        write_new(folder / "ca.crt", certificate.public_bytes(Encoding.PEM), private=False)
        return cls(folder, certificate, key, clock)

    @classmethod
    def load(cls, folder: Path, *, clock: Callable[[], datetime] = _now) -> DevelopmentCa:
        """Load the CA in ``folder``.

        Raises:
            NotFoundError: there is none.
            InputError: what is there cannot be read or is not an ECDSA CA.
        """
        try:
            certificate = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
            key = load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
        except FileNotFoundError as error:
            raise NotFoundError(f"cannot find a CA in {folder}: no {error.filename}", cure="create one") from error
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"cannot read the CA in {folder}: {error}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
            raise InputError(f"cannot use the CA in {folder}: ca.key does not belong to ca.crt")
        return cls(folder, certificate, key, clock)

    @classmethod
    def ensure(cls, folder: Path) -> DevelopmentCa:
        """Load the CA in ``folder``, or create it if there is none."""
        return cls.load(folder) if (folder / "ca.crt").exists() else cls.create(folder)

    def folder_of(self, role: Role | str, name: str) -> Path:
        """Return the folder of an identity, which need not exist."""
        identity = _identity(role, name)
        return self.folder / f"{identity.role}-{identity.name}"

    def issue(
        self,
        role: Role | str,
        name: str,
        dns: Sequence[str] = (),
        ips: Sequence[str] = (),
        lifetime: timedelta = LIFETIME,
    ) -> TlsFiles:
        """Return the files of an identity; issue them if there are none yet.

        Issued again with the same names, a valid certificate stays as it is, so a repeated set-up changes nothing.

        Args:
            role: node, controller or user.
            name: the identity's name; for a node its id.
            dns: further DNS names of a server, beside its name and localhost.
            ips: further addresses of a server, beside 127.0.0.1 and ::1.
            lifetime: from now; never beyond the CA's own end.

        Raises:
            InputError: an unknown role, a bad name or address.
            ConflictError: the folder holds a certificate that is not what was asked for.
        """
        identity = _identity(role, name)
        wanted = certificates.names_for(identity, dns, _addresses(ips))
        folder = self.folder_of(identity.role, identity.name)
        if folder.exists():
            self._check_existing(folder, identity, wanted)
        else:
            self._write(folder, identity, wanted, lifetime)
        return TlsFiles.from_folder(folder)

    def _check_existing(self, folder: Path, identity: Identity, wanted: x509.SubjectAlternativeName) -> None:
        cure = f"remove {folder} and issue it again"
        files = TlsFiles.from_folder(folder)
        try:
            check_files(files, self.clock())
        except TlsError as error:
            raise ConflictError(f"cannot keep the certificate of {identity}: {error.message}", cure=cure) from error
        held = x509.load_pem_x509_certificate((folder / "tls.crt").read_bytes())
        if held.extensions.get_extension_for_class(x509.SubjectAlternativeName).value != wanted:
            raise ConflictError(f"cannot issue {identity}: {folder} holds one with other names", cure=cure)
        if (folder / "ca.crt").read_bytes() != (self.folder / "ca.crt").read_bytes():
            raise ConflictError(f"cannot issue {identity}: {folder} holds one of another CA", cure=cure)

    def _write(self, folder: Path, identity: Identity, names: x509.SubjectAlternativeName, lifetime: timedelta) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = certificates.leaf(
            identity,
            public_key=key.public_key(),
            names=names,
            issuer=(self.certificate, self.key),
            now=self.clock(),
            lifetime=lifetime,
        )
        # Filled beside its place and renamed: after a crash the identity is there as a whole, or not at all.
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=self.folder))
        try:
            write_new(draft / "tls.key", _key_to_pem(key), private=True)
            write_new(draft / "tls.crt", leaf.public_bytes(Encoding.PEM), private=False)
            write_new(draft / "ca.crt", (self.folder / "ca.crt").read_bytes(), private=False)
            self._add_signing_keys(draft, identity.role)
            draft.rename(folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def _add_signing_keys(self, draft: Path, role: Role) -> None:
        if role is Role.USER:
            return
        write_new(draft / "orders.pub", (self.folder / "orders.pub").read_bytes(), private=False)
        if role is Role.CONTROLLER:
            write_new(draft / "orders.key", (self.folder / "orders.key").read_bytes(), private=True)
            return
        events = Ed25519PrivateKey.generate()
        write_new(draft / "events.key", private_to_pem(events), private=True)
        write_new(draft / "events.pub", f"{public_to_text(events.public_key())}\n".encode(), private=False)


def _identity(role: Role | str, name: str) -> Identity:
    try:
        return Identity(Role(role), name)
    except ValueError as error:
        raise InputError(f"cannot issue for role {role!r}: roles are {', '.join(Role)}") from error


def _addresses(ips: Sequence[str]) -> list[IPv4Address | IPv6Address]:
    try:
        return [ip_address(ip) for ip in ips]
    except ValueError as error:
        raise InputError(f"cannot put address into a certificate: {error}") from error


def _key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
