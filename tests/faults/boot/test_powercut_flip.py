"""Power cuts in the middle of every kind of change of the boot attributes, on intact and on damaged disks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from node_executor.boot.control import GptBootControl
from node_executor.boot.readers import READERS
from tests.support.gpt_changes import CHANGES, DAMAGES, control, disk_before, start
from tests.support.gpt_disks import MemoryDisk
from tests.support.gpt_judge import Allowed, judge_of, judged_prefixes, view_of
from tests.support.gpt_powercut import prefixes, subsets
from tests.support.gpt_readers import flagged

Record = Callable[[str, object], None]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("change", CHANGES)
def test_every_cut_leaves_the_old_or_the_new_choice(change: str, damage: str, record_property: Record) -> None:
    before = disk_before(CHANGES[change], damage)
    disk = MemoryDisk(before.base)

    CHANGES[change].step(disk)
    judge = judge_of(Allowed.between(before, disk))
    cuts = list(subsets(before.base, disk.log, judge))
    in_order = judged_prefixes(before.base, disk.log, judge)

    states = sum(cut.states for cut in cuts)
    record_property("prefixes", len(in_order))
    record_property("subsets", states)
    print(f"{change}, {damage}: {len(in_order)} prefixes, {states} subsets in {len(cuts)} distinct cases")  # noqa: T201 - the number of states is asked for
    assert [cut.finding for cut in cuts if cut.finding] == []
    assert [finding for finding in in_order if finding] == []


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("change", CHANGES)
def test_after_every_cut_repair_and_firmware_go_on(change: str, damage: str) -> None:
    before = disk_before(CHANGES[change], damage)
    disk = MemoryDisk(before.base)
    CHANGES[change].step(disk)
    old, new = view_of(before), view_of(disk)
    cuts = list(subsets(before.base, disk.log, judge_of(Allowed.between(before, disk))))

    repaired = [MemoryDisk(before.base, state) for cut in cuts for state in (cut.oldest(), cut.newest())]
    started = [MemoryDisk(before.base, state) for cut in cuts for state in (cut.oldest(), cut.newest())]
    choices = {start(one).slot for one in started}
    for one in [*repaired, *started]:
        control(one).repair()

    assert {view_of(one) for one in repaired} <= {old, new}
    assert not any(control(one).repair() for one in [*repaired, *started])
    assert choices <= {start(MemoryDisk(before.base)).slot, start(MemoryDisk(disk.image())).slot}


@pytest.mark.parametrize("change", CHANGES)
def test_cut_of_the_repair_after_a_cut_is_as_safe(change: str, record_property: Record) -> None:
    before = disk_before(CHANGES[change])
    disk = MemoryDisk(before.base)
    CHANGES[change].step(disk)
    states, findings = 0, []

    for changed in prefixes(disk.log):
        first_cut = MemoryDisk(MemoryDisk(before.base, dict(changed)).image())
        repaired = MemoryDisk(first_cut.base)
        control(repaired).repair()
        cuts = list(subsets(first_cut.base, repaired.log, judge_of(Allowed.between(first_cut, repaired))))
        states += sum(cut.states for cut in cuts)
        findings += [cut.finding for cut in cuts if cut.finding]

    record_property("states", states)
    print(f"{change}: {states} states of repairs")  # noqa: T201 - the number of states is asked for
    assert findings == []


@pytest.mark.parametrize(
    ("change", "damage"), [*((change, "intact") for change in CHANGES), *(("arm A", damage) for damage in DAMAGES)]
)
def test_sfdisk_and_sgdisk_agree_after_repair(change: str, damage: str, tmp_path: Path) -> None:
    before = disk_before(CHANGES[change], damage)
    disk = MemoryDisk(before.base)
    CHANGES[change].step(disk)
    in_order = list(prefixes(disk.log))
    sample = in_order[:: max(1, len(in_order) // 4)]
    path = tmp_path / "disk.img"

    for changed in sample:
        path.write_bytes(MemoryDisk(before.base, dict(changed)).image())
        GptBootControl(path).repair()
        seen = [tuple(reader(path).values()) for reader in READERS]

        assert seen == [seen[0], seen[0]]
        assert seen[0] in {view_of(before), view_of(disk)}
        assert len(flagged(seen[0])) == 1
