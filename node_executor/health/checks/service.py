"""Check ``service``: the executor works, and so do the systemd units that the node's settings name."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

from node_executor.health.check import CheckContext, CheckOutcome

#: systemd.unit(5): letters, digits and : - _ . \ @; a leading dash would be read as an option.
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]{0,254}")


def _unit(value: str) -> str:
    if not _UNIT.fullmatch(value):
        raise ValueError(f"{value!r} is not the name of a systemd unit")
    return value


class ServiceOptions(BaseModel):
    """Options of the check."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    units: tuple[Annotated[str, AfterValidator(_unit)], ...] = ()  #: systemd units that must be active


class ServiceCheck:
    """Healthy if the executor's own worker thread runs and every unit is active."""

    critical = True

    def __init__(self, options: Mapping[str, object]) -> None:
        """Take ``ServiceOptions``."""
        self._units = ServiceOptions.model_validate(options).units

    async def check(self, context: CheckContext) -> CheckOutcome:
        """Look at the executor, then ask systemd about all units at once."""
        if not context.executor_alive():
            return CheckOutcome.unhealthy("the executor's worker thread does not run")
        try:
            states = await asyncio.gather(*map(_state_of, self._units))
        except OSError as error:
            return CheckOutcome.undecided(f"cannot ask systemctl: {error.strerror or error}")
        bad = [f"{unit} is {state}" for unit, state in zip(self._units, states, strict=True) if state != "active"]
        if bad:
            return CheckOutcome.unhealthy("; ".join(bad))
        return CheckOutcome.healthy(", ".join(("executor", *self._units)) + " active")


async def _state_of(unit: str) -> str:
    """Return the unit's state in systemd's word; ``systemctl`` is found on PATH, as the distribution places it."""
    process = await asyncio.create_subprocess_exec(
        *("systemctl", "is-active", unit),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:  # cancelled: leave no process behind
            process.kill()
            await process.wait()
    # Exit code 0 means active. The codes of other states differ between versions; their one word on stdout does not.
    if process.returncode == 0:
        return "active"
    if words := out.decode(errors="replace").split():
        return words[0]
    # No state at all: systemctl could not ask systemd. OSError tells the caller so.
    lines = err.decode(errors="replace").strip().splitlines() or [f"exit code {process.returncode}"]
    raise OSError(lines[0][:200])
