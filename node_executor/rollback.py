"""``rollback_state.json``: where to go back to, how often we booted, what we rolled back from (requirement R3).

Written before the boot attributes are touched, so that a boot that dies anywhere is already counted. The rules for
unreadable files are the journal's.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import AwareDatetime

from node_executor.journal import StateFile, Storage, load, save
from shared.images import Image
from shared.messages import Model, RollbackRecord, Text
from shared.slots import Slot

#: Entries of the history that are kept; the fleet-wide history lives in the controller.
MAX_HISTORY = 200
#: Denied versions that are kept.
MAX_DENIED = 50


class Denied(Model):
    """An image that this node has rolled back from by itself."""

    sha256: str
    version: str = ""
    at: AwareDatetime
    reason: Text = ""

    def covers(self, image: Image) -> bool:
        """Whether ``image`` is the denied one, by content or by version."""
        return image.sha256 == self.sha256 or bool(self.version and image.version == self.version)


class RollbackFile(StateFile):
    """The content of ``rollback_state.json``; the first three names are the ones users know."""

    previous_partition: int | None = None  #: GPT number of the slot to fall back to
    boot_counter: int = 0  #: boots of the unproven slot so far; 0 when nothing is on trial
    last_update_time: AwareDatetime | None = None  #: of the last switch
    history: tuple[RollbackRecord, ...] = ()  #: oldest first
    denied: tuple[Denied, ...] = ()


class RollbackBook:
    """The rollback state of one node. Not locked: its users hold the runner's lock."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._file, self.trouble = load(storage, RollbackFile)

    @property
    def state(self) -> RollbackFile:
        """The present content."""
        return self._file

    def count_boot(self, counter: int, previous: Slot, at: datetime | None = None) -> None:
        """Make ``counter`` boots of the unproven slot durable, and ``previous`` as the way back."""
        changes = {"boot_counter": counter, "previous_partition": previous.partition_number}
        self._write(**changes, **({"last_update_time": at} if at else {}))

    def clear(self) -> None:
        """Nothing is on trial any more."""
        if self._file.boot_counter:
            self._write(boot_counter=0)

    def add(self, entry: RollbackRecord, denied: Image | None) -> bool:
        """Add to the history, and deny an image; False if the entry is there already."""
        if any(known.id == entry.id for known in self._file.history):
            return False
        changes: dict[str, object] = {"history": (*self._file.history, entry)[-MAX_HISTORY:], "boot_counter": 0}
        if denied is not None:
            item = Denied(sha256=denied.sha256, version=denied.version, at=entry.at, reason=entry.reason)
            others = tuple(d for d in self._file.denied if d.sha256 != item.sha256)
            changes["denied"] = (*others, item)[-MAX_DENIED:]
        self._write(**changes)
        return True

    def denial(self, image: Image) -> Denied | None:
        """Return why ``image`` is denied, or None."""
        return next((d for d in reversed(self._file.denied) if d.covers(image)), None)

    def lift(self, image: Image) -> None:
        """Forget every denial of ``image``: it has proven itself."""
        if self.denial(image) is not None:
            self._write(denied=tuple(d for d in self._file.denied if not d.covers(image)))

    def _write(self, **changes: object) -> None:
        self._file = save(self._storage, self._file.model_copy(update=changes))
