"""What stands in the fleet's certificates (RFC 5280): pure building, no files and no clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared.errors import InputError
from shared.tls.identity import Identity, Role

#: Certificates begin a little in the past, so that a node whose clock is slightly slow accepts them.
BACK_DATED = timedelta(minutes=5)


def _subject(common_name: str) -> x509.Name:
    # A common name ends at 64 characters (RFC 5280, ub-common-name); nothing of ours reads it.
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def authority(key: ec.EllipticCurvePrivateKey, now: datetime, lifetime: timedelta) -> x509.Certificate:
    """Return a self-signed CA certificate that may issue leaves, but no further CA (path length 0)."""
    # The key's id in the name: two development CAs must never share a subject, or clients mistake one for the other.
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = _subject(f"MaticOS development CA {key_id.digest.hex()[:8]}")
    return (
        x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACK_DATED)
        .not_valid_after(now + lifetime)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificates=True), critical=True)
        .add_extension(key_id, critical=False)
        .sign(key, hashes.SHA256())
    )


def names_for(
    identity: Identity, dns: Sequence[str], ips: Sequence[IPv4Address | IPv6Address]
) -> x509.SubjectAlternativeName:
    """Return the names for ``identity``: who it is and, unless it is a user, where it may serve.

    Raises:
        InputError: a DNS name that a certificate cannot carry.
    """
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity.uri)]
    if identity.role is not Role.USER:
        loopback: list[IPv4Address | IPv6Address] = [IPv4Address("127.0.0.1"), IPv6Address("::1")]
        try:
            names += [x509.DNSName(name) for name in dict.fromkeys([identity.name, "localhost", *dns])]
        except ValueError as error:
            raise InputError(f"cannot put DNS name into a certificate: {error}") from error
        addresses = list(dict.fromkeys([*loopback, *ips]))
        names += [x509.IPAddress(ip) for ip in addresses]
    return x509.SubjectAlternativeName(names)


def leaf(  # noqa: PLR0913 - what a certificate says, each once
    identity: Identity,
    *,
    public_key: ec.EllipticCurvePublicKey,
    names: x509.SubjectAlternativeName,
    issuer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey],
    now: datetime,
    lifetime: timedelta,
) -> x509.Certificate:
    """Return a certificate for ``identity``, ending no later than its issuer.

    Nodes and the controller serve and call; a user only calls, so that a stolen user's key cannot pose as a server.
    """
    ca, ca_key = issuer
    purposes = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if identity.role is not Role.USER:
        purposes.append(ExtendedKeyUsageOID.SERVER_AUTH)
    ca_key_id = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return (
        x509.CertificateBuilder(
            issuer_name=ca.subject, subject_name=_subject(f"{identity.role} {identity.name}"), public_key=public_key
        )
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACK_DATED)
        .not_valid_after(min(now + lifetime, ca.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        .add_extension(names, critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ca_key_id), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
