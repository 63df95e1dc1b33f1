"""Check ``network``: an interface is active. Non-critical: a node without network is still a whole node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import psutil
from pydantic import BaseModel, ConfigDict

from node_executor.health.check import CheckContext, CheckOutcome


class Interface(Protocol):
    """What the check reads of an interface, as psutil tells it."""

    @property
    def isup(self) -> bool:
        """Whether it is switched on."""
        ...

    @property
    def flags(self) -> str:
        """The kernel's flags, separated by commas."""
        ...


class NetworkOptions(BaseModel):
    """Options of the check."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    interfaces: tuple[str, ...] = ()  #: each of these must be active; none: any one will do


class NetworkCheck:
    """Healthy if the named interfaces, or any that is not loopback, are up and have a carrier."""

    critical = False

    def __init__(
        self,
        options: Mapping[str, object],
        *,
        read: Callable[[], Mapping[str, Interface]] = psutil.net_if_stats,
    ) -> None:
        """Take ``NetworkOptions``; ``read`` returns the interfaces by name."""
        self._wanted = NetworkOptions.model_validate(options).interfaces
        self._read = read

    async def check(self, context: CheckContext) -> CheckOutcome:
        """Read the interfaces."""
        del context
        active = sorted(name for name, interface in self._read().items() if _active(interface))
        missing = [name for name in self._wanted if name not in active]
        if missing:
            return CheckOutcome.unhealthy(f"not active: {', '.join(missing)}")
        if not active:
            return CheckOutcome.unhealthy("no interface but loopback is active")
        return CheckOutcome.healthy(f"active: {', '.join(self._wanted or active)}")


def _active(interface: Interface) -> bool:
    flags = interface.flags.split(",")
    # The kernel sets "running" only with a carrier (netdevice(7)).
    return interface.isup and "loopback" not in flags and "running" in flags
