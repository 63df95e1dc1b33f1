"""Who stands behind a certificate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from shared.errors import InputError, NotAllowedError
from shared.pki import DevelopmentCa
from shared.tls import Identity, Role, identity_of


def certificate(*names: str) -> x509.Certificate:
    """Return a self-signed certificate with these URI names; without any there is no name extension at all."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "node node-1")])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 1, now, now + timedelta(days=1))
    if names:
        uris = [x509.UniformResourceIdentifier(name) for name in names]
        builder = builder.add_extension(x509.SubjectAlternativeName(uris), critical=False)
    return builder.sign(key, hashes.SHA256())


@pytest.mark.parametrize("role", list(Role))
def test_an_identity_survives_the_way_through_a_certificate(role: Role, tmp_path: Path) -> None:
    files = DevelopmentCa.create(tmp_path).issue(role, "rack-1.n7")
    assert files.cert is not None

    read = identity_of(x509.load_pem_x509_certificate(files.cert.read_bytes()))

    assert read == Identity(role, "rack-1.n7")
    assert read == Identity.from_uri(read.uri)


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("https://example.com/node/x",),
        ("matic://node/a", "matic://user/b"),
        ("matic://root/a",),
        ("matic://node/",),
    ],
    ids=["no names", "only a foreign URI", "two identities", "unknown role", "no name"],
)
def test_a_certificate_without_exactly_one_identity_is_refused(names: tuple[str, ...]) -> None:
    with pytest.raises(NotAllowedError) as refused:
        identity_of(certificate(*names))

    assert "fleet's own CA" in refused.value.cure


def test_the_common_name_identifies_nobody() -> None:
    with pytest.raises(NotAllowedError, match="CN=node node-1"):
        identity_of(certificate())


def test_foreign_uris_beside_the_identity_do_not_disturb() -> None:
    assert identity_of(certificate("spiffe://x/y", "matic://node/n1")) == Identity(Role.NODE, "n1")


@pytest.mark.parametrize(
    "uri",
    [
        "matic://node",
        "matic://node/../ca",
        "matic://node/a/b",
        "matic://node/a?b",
        "matic://node/a#b",
        "matic://x@node/a",
        "matic://node:1/a",
        "matic://node/a%2fb",
        "http://node/a",
        "matic://[node/a",
        "MATIC://NODE/a",
        "matic://node/A",
    ],
)
def test_what_is_no_identity_is_refused(uri: str) -> None:
    with pytest.raises(InputError):
        Identity.from_uri(uri)


@pytest.mark.parametrize("name", ["", ".", "-a", "a-", "a b", "ä", "a" * 64, "../x", "A"])
def test_a_name_that_could_leave_its_place_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="it must be 1 to 63"):
        Identity(Role.NODE, name)
