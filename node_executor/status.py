"""``matic-agent status``: what the disk says, read and not touched; for the person in front of a node."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from node_executor.boot.control import GptBootControl
from node_executor.journal import JournalFile, S
from node_executor.records import Record
from node_executor.rollback import RollbackFile
from node_executor.settings import Settings
from shared.durable import read_bytes
from shared.errors import BootloaderError
from shared.messages import Model
from shared.slots import SlotStatus

_SHOWN = 5


class Found(Model):
    """What there is."""

    node_id: str
    slots: tuple[SlotStatus, ...]
    schedules: tuple[Record, ...]
    rollback: RollbackFile
    troubles: tuple[str, ...]


def collect(settings: Settings) -> Found:
    """Read the disk and the state folder. Raises StateFileError if the disk does not answer."""
    troubles: list[str] = []
    try:
        slots = tuple(status for _, status in sorted(GptBootControl(settings.disk).status().items()))
    except BootloaderError as error:
        slots = ()
        troubles.append(error.message)
    journal = _read(settings.state_dir / "update-schedule.json", JournalFile, troubles)
    rollback = _read(settings.state_dir / "rollback_state.json", RollbackFile, troubles)
    return Found(
        node_id=settings.node_id,
        slots=slots,
        schedules=journal.schedules,
        rollback=rollback,
        troubles=tuple(troubles),
    )


def _read(path: Path, model: type[S], troubles: list[str]) -> S:
    raw = read_bytes(path)
    try:
        return model() if raw is None else model.model_validate_json(raw)
    except ValidationError as error:
        troubles.append(f"cannot understand {path}: {error.errors()[0]['msg']}")
        return model()


def render(found: Found) -> str:
    """Return the text for people."""
    lines = [f"Node: {found.node_id}"]
    lines += [
        f"Slot {s.slot}: {'proven' if s.successful else 'not proven'}, priority {s.priority}, tries {s.tries}"
        + (", boots next" if s.flagged else "")
        for s in found.slots
    ]
    for record in reversed(found.schedules[-_SHOWN:]):
        why = f" ({record.error_kind}: {record.reason})" if record.error_kind else ""
        lines.append(f"{record.id}: {record.phase.schedule_state}, {record.phase}, {record.version or '-'}{why}")
    lines.append(f"Boots on trial: {found.rollback.boot_counter}; rollbacks: {len(found.rollback.history)}")
    lines += [f"Trouble: {trouble}" for trouble in found.troubles]
    return "\n".join(lines)
