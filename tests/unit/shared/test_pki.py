"""The development CA: its folder layout, what it refuses, and what stands in its certificates."""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as Purpose

from shared.errors import ConflictError, InputError, NotFoundError
from shared.pki import DevelopmentCa
from shared.signing import private_from_pem, public_from_text
from shared.tls import Role, TlsFiles, check_files


@pytest.fixture
def ca(tmp_path: Path) -> DevelopmentCa:
    return DevelopmentCa.create(tmp_path / "ca")


def read(path: Path | None) -> x509.Certificate:
    assert path is not None
    return x509.load_pem_x509_certificate(path.read_bytes())


def listing(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_folder_layout_is_the_documented_one(ca: DevelopmentCa) -> None:
    for role in Role:
        ca.issue(role, "x")

    assert listing(ca.folder) == {"ca.crt", "ca.key", "orders.key", "orders.pub", "node-x", "controller-x", "user-x"}
    tls = {"tls.crt", "tls.key", "ca.crt"}
    assert listing(ca.folder / "user-x") == tls
    assert listing(ca.folder / "node-x") == tls | {"events.key", "events.pub", "orders.pub"}
    assert listing(ca.folder / "controller-x") == tls | {"orders.key", "orders.pub"}


def test_private_files_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ca = DevelopmentCa.create(tmp_path / "ca")
        for role in Role:
            ca.issue(role, "x")
    finally:
        os.umask(before)

    keys = list(ca.folder.rglob("*.key"))
    assert len(keys) == 7
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}


def test_the_signing_keys_of_a_folder_belong_together(ca: DevelopmentCa) -> None:
    node = ca.issue(Role.NODE, "n1").ca.parent
    controller = ca.issue(Role.CONTROLLER, "main").ca.parent

    orders = private_from_pem((controller / "orders.key").read_bytes()).public_key()
    events = private_from_pem((node / "events.key").read_bytes()).public_key()

    assert orders == public_from_text((node / "orders.pub").read_text())
    assert events == public_from_text((node / "events.pub").read_text())
    assert orders != events


def test_the_ca_may_issue_leaves_only(ca: DevelopmentCa) -> None:
    constraints = ca.certificate.extensions.get_extension_for_class(x509.BasicConstraints)

    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    assert isinstance(ca.certificate.public_key(), ec.EllipticCurvePublicKey)


def test_a_node_serves_under_its_name_and_on_loopback(ca: DevelopmentCa) -> None:
    leaf = read(ca.issue(Role.NODE, "n1", dns=["n1.lab"], ips=["192.0.2.7"]).cert)

    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["matic://node/n1"]
    assert names.get_values_for_type(x509.DNSName) == ["n1", "localhost", "n1.lab"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "192.0.2.7"]


@pytest.mark.parametrize(
    ("role", "purposes"),
    [
        (Role.NODE, {Purpose.SERVER_AUTH, Purpose.CLIENT_AUTH}),
        (Role.CONTROLLER, {Purpose.SERVER_AUTH, Purpose.CLIENT_AUTH}),
        (Role.USER, {Purpose.CLIENT_AUTH}),
    ],
    ids=list(Role),
)
def test_only_nodes_and_the_controller_may_serve(role: Role, purposes: set[object], ca: DevelopmentCa) -> None:
    leaf = read(ca.issue(role, "x").cert)

    assert set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == purposes


def test_a_certificate_begins_five_minutes_early_and_ends_after_its_lifetime(tmp_path: Path) -> None:
    now = datetime(2026, 3, 1, 12, tzinfo=UTC)
    ca = DevelopmentCa.create(tmp_path / "ca", clock=lambda: now)

    leaf = read(ca.issue(Role.NODE, "n1", lifetime=timedelta(hours=6)).cert)

    assert leaf.not_valid_before_utc == now - timedelta(minutes=5)
    assert leaf.not_valid_after_utc == now + timedelta(hours=6)


def test_no_certificate_outlives_its_ca(tmp_path: Path) -> None:
    ca = DevelopmentCa.create(tmp_path / "ca", lifetime=timedelta(days=2))

    leaf = read(ca.issue(Role.NODE, "n1", lifetime=timedelta(days=90)).cert)

    assert leaf.not_valid_after_utc == ca.certificate.not_valid_after_utc


def test_issuing_twice_changes_nothing(ca: DevelopmentCa) -> None:
    first = ca.issue(Role.NODE, "n1", dns=["n1.lab"])
    before = {path.name: path.read_bytes() for path in first.ca.parent.iterdir()}

    second = DevelopmentCa.load(ca.folder).issue(Role.NODE, "n1", dns=["n1.lab"])

    assert second == first
    assert {path.name: path.read_bytes() for path in first.ca.parent.iterdir()} == before


def test_another_wish_for_an_existing_identity_is_refused(ca: DevelopmentCa) -> None:
    files = ca.issue(Role.NODE, "n1")
    before = read(files.cert)

    with pytest.raises(ConflictError, match="holds one with other names") as refused:
        ca.issue(Role.NODE, "n1", dns=["elsewhere"])

    assert "remove" in refused.value.cure
    assert read(files.cert) == before


def test_an_expired_identity_is_refused_with_its_cure(tmp_path: Path) -> None:
    ca = DevelopmentCa.create(tmp_path / "ca")
    ca.issue(Role.NODE, "n1", lifetime=timedelta(days=1))
    later = DevelopmentCa.load(ca.folder, clock=lambda: datetime.now(UTC) + timedelta(days=2))

    with pytest.raises(ConflictError, match="it expired on") as refused:
        later.issue(Role.NODE, "n1")

    assert refused.value.cure == f"remove {ca.folder / 'node-n1'} and issue it again"


def test_a_ca_is_never_overwritten(ca: DevelopmentCa) -> None:
    before = (ca.folder / "ca.key").read_bytes()

    with pytest.raises(ConflictError, match=r"it already holds ca\.key, ca\.crt, orders\.key, orders\.pub"):
        DevelopmentCa.create(ca.folder)

    assert (ca.folder / "ca.key").read_bytes() == before
    assert DevelopmentCa.ensure(ca.folder).certificate == ca.certificate


def test_ensure_creates_a_missing_ca(tmp_path: Path) -> None:
    ca = DevelopmentCa.ensure(tmp_path / "new" / "ca")

    check_files(TlsFiles(ca=ca.folder / "ca.crt"))


def test_a_missing_or_broken_ca_is_named(ca: DevelopmentCa, tmp_path: Path) -> None:
    other = DevelopmentCa.create(tmp_path / "other")
    (ca.folder / "ca.key").write_bytes((other.folder / "ca.key").read_bytes())

    with pytest.raises(NotFoundError, match="cannot find a CA in"):
        DevelopmentCa.load(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"ca\.key does not belong to ca\.crt"):
        DevelopmentCa.load(ca.folder)


def test_two_cas_never_share_a_name(ca: DevelopmentCa, tmp_path: Path) -> None:
    assert DevelopmentCa.create(tmp_path / "other").certificate.subject != ca.certificate.subject


@pytest.mark.parametrize(
    ("role", "name", "ips"),
    [("root", "x", ()), ("node", "../x", ()), ("node", "x", ("300.1.1.1",))],
    ids=["role", "name", "address"],
)
def test_a_wish_that_makes_no_sense_leaves_no_trace(
    role: str, name: str, ips: tuple[str, ...], ca: DevelopmentCa
) -> None:
    before = listing(ca.folder)

    with pytest.raises(InputError):
        ca.issue(role, name, ips=ips)

    assert listing(ca.folder) == before
