"""The two system slots and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Slot(StrEnum):
    """One of the two operating system partitions (requirement R4)."""

    A = "A"  #: GPT partition 2
    B = "B"  #: GPT partition 3

    @property
    def partition_number(self) -> int:
        """The GPT partition number, counted from 1."""
        return 2 if self is Slot.A else 3

    def other(self) -> Slot:
        """Return the opposite slot."""
        return Slot.B if self is Slot.A else Slot.A

    @classmethod
    def from_partition(cls, number: int) -> Slot:
        """Return the slot at a GPT partition number.

        Raises:
            ValueError: the partition is neither 2 nor 3.
        """
        if number not in (2, 3):
            raise ValueError(f"partition {number} is not a slot: slots are partitions 2 and 3")
        return cls.A if number == 2 else cls.B  # noqa: PLR2004 - the partition numbers are the definition


#: Boots that an unproven slot is given before the node falls back (requirement R2).
MAX_TRIES = 3


@dataclass(frozen=True, kw_only=True)
class SlotStatus:
    """The boot attributes of one slot, as stored in its GPT entry's 64-bit attribute field.

    Bits: 2 = legacy BIOS bootable (the flag that gptmbr and U-Boot read); 48-51 priority, 52-55 tries left,
    56 successful (ChromeOS and Flatcar). Attribute layout measured with sgdisk, gptmbr.bin and U-Boot.
    """

    slot: Slot
    flagged: bool  #: bit 2
    priority: int  #: bits 48-51; 0 means never boot
    tries: int  #: bits 52-55; boots left while not successful
    successful: bool  #: bit 56; proven good

    @property
    def bootable(self) -> bool:
        """Whether firmware that honours the attributes would start this slot at all."""
        return self.priority > 0 and (self.successful or self.tries > 0)

    def attributes(self) -> int:
        """Return the 64-bit attribute field, all other bits clear."""
        return (
            (1 << 2 if self.flagged else 0)
            | (self.priority & 15) << 48
            | (self.tries & 15) << 52
            | (1 << 56 if self.successful else 0)
        )

    @classmethod
    def from_attributes(cls, slot: Slot, field: int) -> SlotStatus:
        """Decode a 64-bit attribute field."""
        return cls(
            slot=slot,
            flagged=bool(field >> 2 & 1),
            priority=field >> 48 & 15,
            tries=field >> 52 & 15,
            successful=bool(field >> 56 & 1),
        )
