"""Check ``boot``: the system has been up for a while, so it is not just dying again."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from node_executor.health.check import CheckContext, CheckOutcome


class BootOptions(BaseModel):
    """Options of the check."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_uptime: float = Field(default=10.0, ge=0)  #: seconds; healthy above it


class BootCheck:
    """Healthy once the uptime is above ``min_uptime``; the retries wait for that."""

    critical = True

    def __init__(self, options: Mapping[str, object]) -> None:
        """Take ``BootOptions``."""
        self._options = BootOptions.model_validate(options)

    async def check(self, context: CheckContext) -> CheckOutcome:
        """Compare the uptime."""
        uptime, wanted = context.uptime(), self._options.min_uptime
        if uptime > wanted:
            return CheckOutcome.healthy(f"up for {uptime:.0f} s")
        return CheckOutcome.unhealthy(f"up for {uptime:.1f} s only; more than {wanted:g} s are wanted")
