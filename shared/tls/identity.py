"""Who stands behind a certificate: role and name, read from its URI name alone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from urllib.parse import urlsplit

import grpc
from cryptography import x509

from shared.errors import InputError, NotAllowedError
from shared.queues import valid_node_id

#: Scheme of the URI name that carries an identity.
SCHEME = "matic"


class Role(StrEnum):
    """What kind of party a certificate was issued to."""

    NODE = "node"  #: an executor; its name is the node id
    CONTROLLER = "controller"  #: a process of the controller
    USER = "user"  #: a person or a pipeline with osctl


@dataclass(frozen=True)
class Identity:
    """A party of the fleet. ``name`` follows the rules of node ids, so it is safe in paths and queue names."""

    role: Role
    name: str

    def __post_init__(self) -> None:
        """Refuse a name that could reach outside its own key space or folder."""
        if not valid_node_id(self.name):
            raise InputError(
                f"cannot use {self.name!r} as a {self.role}'s name: it must be 1 to 63 of a-z 0-9 . _ - "
                "and start and end with a-z 0-9"
            )

    @property
    def uri(self) -> str:
        """The URI name that a certificate carries for this identity."""
        return f"{SCHEME}://{self.role}/{self.name}"

    def __str__(self) -> str:
        return f"{self.role} {self.name}"

    @classmethod
    def from_uri(cls, uri: str) -> Identity:
        """Parse ``matic://<role>/<name>``.

        Raises:
            InputError: another scheme, an unknown role, or a name that breaks the rules.
        """
        form = InputError(f"cannot read identity {uri!r}: it is not of the form {SCHEME}://role/name")
        try:
            parts = urlsplit(uri)
            role = Role(parts.netloc)
        except ValueError as error:
            raise form from error
        if parts.scheme != SCHEME or parts.query or parts.fragment:
            raise form
        return cls(role, parts.path.removeprefix("/"))


def identity_of(certificate: x509.Certificate) -> Identity:
    """Return the identity in ``certificate``.

    Raises:
        NotAllowedError: it carries no ``matic://`` name, more than one, or one that cannot be read.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        uris: list[str] = []
    else:
        uris = [u for u in names.get_values_for_type(x509.UniformResourceIdentifier) if u.startswith(f"{SCHEME}:")]
    if len(uris) != 1:
        raise NotAllowedError(
            f"cannot tell who {certificate.subject.rfc4514_string() or 'the caller'} is: "
            f"its certificate carries {len(uris)} {SCHEME}:// names, not one",
            cure="use a certificate issued by the fleet's own CA",
        )
    try:
        return Identity.from_uri(uris[0])
    except InputError as error:
        raise NotAllowedError(error.message, cure="use a certificate issued by the fleet's own CA") from error


@lru_cache(maxsize=4096)
def _identity_in(pem: bytes) -> Identity:
    return identity_of(x509.load_pem_x509_certificate(pem))


def peer_identity(context: grpc.ServicerContext) -> Identity:
    """Return who calls. The TLS layer has already proven that the caller holds the certificate's key.

    Raises:
        NotAllowedError: no certificate on this connection, or none that names an identity.
    """
    chain = list(context.auth_context().get("x509_pem_cert", ()))
    if not chain:
        raise NotAllowedError("cannot tell who calls: the connection carries no client certificate")
    try:
        return _identity_in(bytes(chain[0]))
    except ValueError as error:
        raise NotAllowedError(f"cannot tell who calls: the client certificate cannot be read: {error}") from error
