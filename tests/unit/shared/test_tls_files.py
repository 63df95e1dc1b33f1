"""What can be wrong with own files is found without a network, each with its own sentence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.errors import TlsError
from shared.pki import DevelopmentCa
from shared.tls import Role, TlsFiles, check_files, diagnose, open_channel, server_credentials


@pytest.fixture
def ca(tmp_path: Path) -> DevelopmentCa:
    return DevelopmentCa.create(tmp_path / "ca")


@pytest.fixture
def alice(ca: DevelopmentCa) -> TlsFiles:
    return ca.issue(Role.USER, "alice")


def test_whole_files_pass(alice: TlsFiles) -> None:
    check_files(alice)

    assert TlsFiles.from_folder(alice.ca.parent) == alice


@pytest.mark.parametrize("field", ["ca", "cert", "key"])
def test_a_missing_file_is_named_by_everything_that_needs_it(field: str, alice: TlsFiles, tmp_path: Path) -> None:
    missing = tmp_path / "gone.pem"
    files = replace(alice, **{field: missing})

    for use in (check_files, server_credentials, lambda f: open_channel("localhost:1", f)):
        with pytest.raises(TlsError, match=rf"cannot read .* {missing}: No such file or directory"):
            use(files)
    assert str(missing) in diagnose("localhost:1", files).message


@pytest.mark.parametrize("field", ["ca", "cert", "key"])
def test_an_empty_file_is_named_and_never_reaches_grpc_which_would_abort(
    field: str, alice: TlsFiles, tmp_path: Path
) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    files = replace(alice, **{field: empty})

    for use in (check_files, server_credentials, lambda f: open_channel("localhost:1", f)):
        with pytest.raises(TlsError, match=rf"cannot read .* {empty}: it is empty"):
            use(files)
    assert f"{empty}: it is empty" in diagnose("localhost:1", files).message


@pytest.mark.parametrize(
    ("field", "words"),
    [("ca", "is not a PEM certificate"), ("cert", "is not a PEM certificate"), ("key", "is not a plain PEM key")],
)
def test_rubbish_is_named(field: str, words: str, alice: TlsFiles, tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("not a key, not a certificate\n")

    with pytest.raises(TlsError, match=words):
        check_files(replace(alice, **{field: rubbish}))


def test_the_key_of_another_certificate_is_named(ca: DevelopmentCa, alice: TlsFiles) -> None:
    bob = ca.issue(Role.USER, "bob")

    with pytest.raises(TlsError, match="it belongs to another certificate"):
        check_files(replace(alice, key=bob.key))


def test_an_expired_certificate_is_named_with_its_date(ca: DevelopmentCa) -> None:
    short = ca.issue(Role.USER, "carol", lifetime=timedelta(hours=1))

    with pytest.raises(TlsError, match=r"cannot use certificate .*: it expired on \d{4}-") as expired:
        check_files(short, datetime.now(UTC) + timedelta(hours=2))
    assert "issue a new certificate" in expired.value.cure


def test_a_certificate_from_the_future_points_to_the_clock(alice: TlsFiles) -> None:
    with pytest.raises(TlsError, match="it is not valid before") as early:
        check_files(alice, datetime.now(UTC) - timedelta(minutes=10))

    assert early.value.cure == "set this machine's clock"


def test_a_slow_clock_of_a_few_minutes_is_forgiven(alice: TlsFiles) -> None:
    check_files(alice, datetime.now(UTC) - timedelta(minutes=4))


def test_a_certificate_of_another_ca_is_named(alice: TlsFiles, tmp_path: Path) -> None:
    other = DevelopmentCa.create(tmp_path / "other")

    with pytest.raises(TlsError, match="it was not issued by the CA in"):
        check_files(replace(alice, ca=other.folder / "ca.crt"))


def test_a_server_cannot_do_without_a_certificate(alice: TlsFiles) -> None:
    with pytest.raises(TlsError, match="cannot serve without a certificate"):
        server_credentials(TlsFiles(ca=alice.ca))
