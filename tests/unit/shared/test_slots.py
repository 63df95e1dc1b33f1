"""Slots, and the attribute bits of their GPT entries."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.slots import Slot, SlotStatus

statuses = st.builds(
    SlotStatus,
    slot=st.sampled_from(Slot),
    flagged=st.booleans(),
    priority=st.integers(0, 15),
    tries=st.integers(0, 15),
    successful=st.booleans(),
)


@pytest.mark.parametrize(("slot", "number"), [(Slot.A, 2), (Slot.B, 3)])
def test_slots_are_partitions_two_and_three(slot: Slot, number: int) -> None:
    assert slot.partition_number == number
    assert Slot.from_partition(number) is slot
    assert slot.other() is not slot
    assert slot.other().other() is slot


@pytest.mark.parametrize("number", [0, 1, 4, -2])
def test_no_other_partition_is_a_slot(number: int) -> None:
    with pytest.raises(ValueError, match=f"partition {number} is not a slot"):
        Slot.from_partition(number)


@settings(deadline=None)
@given(statuses)
def test_a_status_survives_its_64_bits(status: SlotStatus) -> None:
    assert SlotStatus.from_attributes(status.slot, status.attributes()) == status


@settings(deadline=None)
@given(st.integers(0, 2**64 - 1))
def test_foreign_bits_neither_disturb_nor_come_back(field: int) -> None:
    ours = 1 << 2 | 0xFF << 48 | 1 << 56

    assert SlotStatus.from_attributes(Slot.A, field).attributes() == field & ours


@pytest.mark.parametrize(
    ("field", "flagged", "priority", "tries", "successful"),
    [
        (0x0104_0000_0000_0004, True, 4, 0, True),
        (0x003F_0000_0000_0000, False, 15, 3, False),
        (0x0000_0000_0000_0004, True, 0, 0, False),
    ],
    ids=["proven and flagged", "armed with three tries", "flag alone"],
)
def test_bits_stand_where_firmware_reads_them(
    field: int,
    *,
    flagged: bool,
    priority: int,
    tries: int,
    successful: bool,
) -> None:
    status = SlotStatus.from_attributes(Slot.B, field)

    assert (status.flagged, status.priority, status.tries, status.successful) == (flagged, priority, tries, successful)


@pytest.mark.parametrize(
    ("priority", "tries", "successful", "bootable"),
    [(0, 3, True, False), (1, 0, False, False), (1, 1, False, True), (1, 0, True, True)],
    ids=["no priority", "no try left", "one try left", "proven"],
)
def test_a_slot_boots_with_priority_and_a_proof_or_a_try(
    *,
    priority: int,
    tries: int,
    successful: bool,
    bootable: bool,
) -> None:
    status = SlotStatus(slot=Slot.A, flagged=True, priority=priority, tries=tries, successful=successful)

    assert status.bootable is bootable
