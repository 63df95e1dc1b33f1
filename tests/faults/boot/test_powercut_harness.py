"""The power-cut tests can fail: the same harness finds bad states in other ways to change the same attributes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from shared.slots import Slot
from tests.support.gpt_changes import CHANGES, Step, arm, disk_before, start
from tests.support.gpt_disks import ARRAY, Event, Flush, KilledError, MemoryDisk, Write, provisioned_image
from tests.support.gpt_judge import Allowed, judge_of, judged_prefixes, view_of
from tests.support.gpt_powercut import subsets

Record = Callable[[str, object], None]
SGDISK_CALLS = {
    "one call": [["--attributes=2:=:0101000000000000", "--attributes=3:=:0032000000000004"]],
    "set then clear": [["--attributes=3:=:0032000000000004"], ["--attributes=2:=:0101000000000000"]],
}


@pytest.mark.parametrize("calls", SGDISK_CALLS.values(), ids=SGDISK_CALLS)
def test_harness_finds_bad_states_in_sgdisk_writing_in_place(
    calls: Sequence[Sequence[str]], tmp_path: Path, record_property: Record
) -> None:
    before = MemoryDisk(provisioned_image())
    log, image = _recorded_sgdisk(calls, before.base, tmp_path / "disk.img")
    judge = judge_of(Allowed.between(before, MemoryDisk(image)))

    bad_prefixes = [finding for finding in judged_prefixes(before.base, log, judge) if finding]
    cuts = list(subsets(before.base, log, judge))
    blind = [cut for cut in cuts if "careful sees no table" in cut.finding]

    record_property("bad prefixes", len(bad_prefixes))
    print(f"{len(bad_prefixes)} bad prefixes; {sum(bool(cut.finding) for cut in cuts)} of {len(cuts)} cases bad")  # noqa: T201 - to be compared with the flip's
    assert any("strict sees no table" in finding for finding in bad_prefixes)
    assert blind != []


@pytest.mark.parametrize("killed_at", [1, 2, 3, 4, 5], ids="killed at flush {}".format)
@pytest.mark.parametrize("following", [arm(Slot.B, 2), start], ids=["a flip", "a start by firmware"])
def test_power_cut_after_a_killed_flip_and_what_follows_is_safe(following: Step, killed_at: int) -> None:
    before = disk_before(CHANGES["arm B"])
    log, killed, after = _killed_and_followed(before, killed_at, following)

    judge = _judge_of_three(before, killed, after)
    findings = [cut.finding for cut in subsets(before.base, log, judge) if cut.finding]

    assert findings == []


def test_harness_finds_the_flush_that_a_killed_flip_leaves_to_the_next() -> None:
    before = disk_before(CHANGES["arm B"])
    log, killed, after = _killed_and_followed(before, 3, arm(Slot.B, 2))
    header_written = next(i for i, event in enumerate(log) if isinstance(event, Write) and event.lba == 1)
    next_flush = next(i for i, event in enumerate(log) if i > header_written and isinstance(event, Flush))

    without = [*log[:next_flush], *log[next_flush + 1 :]]
    findings = [cut.finding for cut in subsets(before.base, without, _judge_of_three(before, killed, after))]

    assert any("strict sees no table" in finding for finding in findings)


@pytest.mark.parametrize(
    ("dropped", "damage"),
    [
        pytest.param(2, "intact", id="entries not flushed before the header"),
        pytest.param(3, "primary header wiped", id="header not flushed before the only valid copy is touched"),
    ],
)
def test_harness_finds_a_missing_flush_of_the_flip(dropped: int, damage: str) -> None:
    before = disk_before(CHANGES["arm A"], damage)
    disk = MemoryDisk(before.base)
    CHANGES["arm A"].step(disk)
    flushes = [index for index, event in enumerate(disk.log) if isinstance(event, Flush)]

    without = [event for index, event in enumerate(disk.log) if index != flushes[dropped - 1]]
    findings = [cut.finding for cut in subsets(before.base, without, judge_of(Allowed.between(before, disk)))]

    assert any(findings)


def _recorded_sgdisk(calls: Sequence[Sequence[str]], base: bytes, path: Path) -> tuple[list[Event], bytes]:
    """Run sgdisk for real, and return its writes in the order of its system calls.

    As ``strace`` shows it: backup entries, backup header, entries, header, MBR, and one flush at the end.
    """
    log: list[Event] = []
    path.write_bytes(base)
    for call in calls:
        subprocess.run(["sgdisk", *call, str(path)], check=True, capture_output=True)
        disk = MemoryDisk(path.read_bytes())
        entries, last = int.from_bytes(disk.sector(1)[72:80], "little"), disk.sectors - 1
        order = [*range(last - ARRAY, last), last, *range(entries, entries + ARRAY), 1, 0]
        log += [*(Write(lba, disk.sector(lba)) for lba in order), Flush()]
    return log, path.read_bytes()


def _killed_and_followed(
    before: MemoryDisk, killed_at: int, following: Step
) -> tuple[list[Event], MemoryDisk, MemoryDisk]:
    """Arm slot B, killed before a flush: its writes stay in the cache, where the ``following`` step finds them."""
    first = MemoryDisk(before.base, killed_at_flush=killed_at)
    with pytest.raises(KilledError):
        arm(Slot.B, 3)(first)
    second = MemoryDisk(before.base, dict(first.changed))
    following(second)
    return [*first.log, *second.log], first, second


def _judge_of_three(before: MemoryDisk, killed: MemoryDisk, after: MemoryDisk) -> Callable[..., str]:
    right = frozenset({view_of(before), view_of(killed), view_of(after)})
    return judge_of(Allowed(before.sectors - 1, right, {}))
