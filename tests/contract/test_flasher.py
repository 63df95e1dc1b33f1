"""What every flasher promises, whatever it writes to. Add implementations in ``tests/support/flasher_benches.py``."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.errors import (
    DigestMismatchError,
    ImageError,
    ImageTooLargeError,
    ReadBackError,
    SizeMismatchError,
    SlotInUseError,
    TransportError,
)
from shared.images import Image
from shared.slots import Slot
from tests.support.flasher_benches import BENCHES, FlasherBench


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FlasherBench]:
    with BENCHES[request.param](tmp_path) as made:
        yield made


@pytest.fixture
def cancelled() -> threading.Event:
    return threading.Event()


def quiet(_done: int, _total: int | None) -> None:
    """Pay no attention to progress."""


def test_a_probe_returns_the_size_and_leaves_the_slot(bench: FlasherBench, cancelled: threading.Event) -> None:
    image = bench.good()
    bench.flasher().flash(image, Slot.B, quiet, cancelled)

    size = bench.flasher().probe(bench.other(), Slot.B, cancelled)

    assert size > 2 << 20
    bench.flasher().verify(image, Slot.B, quiet, cancelled)


def test_a_flashed_image_verifies_and_is_mountable(bench: FlasherBench, cancelled: threading.Event) -> None:
    bench.flasher().flash(bench.good(), Slot.B, quiet, cancelled)

    bench.flasher().verify(bench.good(), Slot.B, quiet, cancelled)

    assert bench.mountable(Slot.B)


def test_progress_grows_to_the_whole_image(bench: FlasherBench, cancelled: threading.Event) -> None:
    written: list[int] = []
    read: list[int] = []
    size = bench.flasher().probe(bench.good(), Slot.B, cancelled)

    bench.flasher().flash(bench.good(), Slot.B, lambda done, _: written.append(done), cancelled)
    bench.flasher().verify(bench.good(), Slot.B, lambda done, _: read.append(done), cancelled)

    for seen in (written, read):
        assert seen == sorted(set(seen))
        assert seen[-1] == size


def test_another_image_is_not_taken_for_the_one_ordered(bench: FlasherBench, cancelled: threading.Event) -> None:
    bench.flasher().flash(bench.other(), Slot.B, quiet, cancelled)

    with pytest.raises(ReadBackError) as caught:
        bench.flasher().verify(bench.good(), Slot.B, quiet, cancelled)

    assert caught.value.cure


def test_flashing_again_replaces_what_is_there(bench: FlasherBench, cancelled: threading.Event) -> None:
    for image in (bench.good(), bench.other(), bench.other()):
        bench.flasher().flash(image, Slot.B, quiet, cancelled)

    bench.flasher().verify(bench.other(), Slot.B, quiet, cancelled)


def test_a_cancelled_flash_returns_with_an_unmountable_slot(bench: FlasherBench, cancelled: threading.Event) -> None:
    bench.flasher().flash(bench.other(), Slot.B, quiet, cancelled)

    bench.flasher().flash(bench.good(), Slot.B, lambda *_: cancelled.set(), cancelled)

    assert not bench.mountable(Slot.B)
    with pytest.raises(ReadBackError):
        bench.flasher().verify(bench.good(), Slot.B, quiet, threading.Event())


def test_a_cancelled_flash_can_be_repeated(bench: FlasherBench, cancelled: threading.Event) -> None:
    bench.flasher().flash(bench.good(), Slot.B, lambda *_: cancelled.set(), cancelled)

    bench.flasher().flash(bench.good(), Slot.B, quiet, threading.Event())

    bench.flasher().verify(bench.good(), Slot.B, quiet, threading.Event())


@pytest.mark.parametrize("call", ["probe", "flash"])
def test_the_running_slot_is_refused(bench: FlasherBench, cancelled: threading.Event, call: str) -> None:
    before = bench.mountable(Slot.A)

    with pytest.raises(SlotInUseError):
        ask(bench, call, bench.good(), Slot.A, cancelled)

    assert bench.mountable(Slot.A) == before


def test_a_wrong_digest_leaves_the_slot_unmountable(bench: FlasherBench, cancelled: threading.Event) -> None:
    with pytest.raises(DigestMismatchError):
        bench.flasher().flash(bench.wrong_digest(), Slot.B, quiet, cancelled)

    assert not bench.mountable(Slot.B)


@pytest.mark.parametrize("call", ["probe", "flash"])
@pytest.mark.parametrize(
    ("kind", "expected"), [("wrong_size", SizeMismatchError), ("too_large", ImageTooLargeError)], ids=["size", "large"]
)
def test_an_image_of_the_wrong_size_is_refused(
    bench: FlasherBench, cancelled: threading.Event, call: str, kind: str, expected: type[ImageError]
) -> None:
    image: Image = getattr(bench, kind)()

    with pytest.raises(expected) as caught:
        ask(bench, call, image, Slot.B, cancelled)

    assert not caught.value.retriable


@pytest.mark.parametrize("call", ["probe", "flash"])
def test_a_source_that_does_not_answer_may_be_tried_again(
    bench: FlasherBench, cancelled: threading.Event, call: str
) -> None:
    with pytest.raises(TransportError) as caught:
        ask(bench, call, bench.unreachable(), Slot.B, cancelled)

    assert caught.value.retriable
    assert caught.value.cure


def ask(bench: FlasherBench, call: str, image: Image, slot: Slot, cancelled: threading.Event) -> None:
    """Call ``probe`` or ``flash``."""
    if call == "probe":
        bench.flasher().probe(image, slot, cancelled)
    else:
        bench.flasher().flash(image, slot, quiet, cancelled)
