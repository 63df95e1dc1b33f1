"""An image checks itself."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from shared.images import Image

SHA = "0123456789abcdef" * 4
SOURCE = "https://cdn.example.com/v2.squashfs"


@pytest.mark.parametrize(
    "source",
    [
        "http://cdn.example.com/v2.squashfs",
        "https://cdn.example.com:8443/a%20b?x=y",
        "http://[2001:db8::1]:8080/v2",
        "file:///srv/images/v2",
        "file://localhost/srv/v2",
        "HTTP://cdn.example.com/v2",
    ],
)
def test_sources_that_a_node_can_fetch_are_taken_as_written(source: str) -> None:
    assert Image(source=source, sha256=SHA).source == source


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "must start with"),
        ("/srv/v2", "must start with"),
        ("ftp://h/v2", "must start with"),
        ("http:///v2", "names no host"),
        ("http:v2", "names no host"),
        ("file://server/v2", "write file:///path"),
        ("file:v2", "names no absolute path"),
        ("file://", "names no absolute path"),
        ("http://h:99999/v2", "is not a URL"),
        ("http://h:x/v2", "is not a URL"),
        ("http://[::1/v2", "is not a URL"),
        ("http://h/a b", "spaces or control characters"),
        ("http://h/a\nHost: evil", "spaces or control characters"),
        ("http://h/\x00", "spaces or control characters"),
    ],
)
def test_a_source_that_no_node_can_fetch_is_refused_in_words(source: str, words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Image(source=source, sha256=SHA)


@pytest.mark.parametrize("sha256", ["", "abc", "g" * 64, SHA + "0", f" {SHA[1:]}", "\uff11" * 64, "\u0130" * 64])
def test_what_is_no_sha256_is_refused(sha256: str) -> None:
    with pytest.raises(ValidationError, match="must be 64 hexadecimal digits"):
        Image(source=SOURCE, sha256=sha256)


@settings(deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_a_sha256_is_kept_in_lower_case(digest: bytes) -> None:
    assert Image(source=SOURCE, sha256=digest.hex().upper()).sha256 == digest.hex()


@pytest.mark.parametrize("size", [0, -1])
def test_an_image_without_bytes_is_refused(size: int) -> None:
    with pytest.raises(ValidationError, match="greater than 0"):
        Image(source=SOURCE, sha256=SHA, size=size)


def test_an_image_does_not_change() -> None:
    image = Image(source=SOURCE, sha256=SHA)

    with pytest.raises(ValidationError, match="frozen"):
        image.version = "2"  # type: ignore[misc]  # the point of the test
