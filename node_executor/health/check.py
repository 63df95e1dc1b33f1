"""What a health check is: the contract that ours and everybody else's fulfil.

To add one, write a class like ``HealthCheck``, whose constructor takes the options that the node's settings hold for
it, and name it in the package's ``[project.entry-points."maticos_fleet.health_checks"]``. The name of the entry point
is the name of the check. Nothing of ours changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field

from shared.messages import CheckResult
from shared.states import Verdict
from shared.tls import TlsFiles

#: Longest message of a check, in characters; the rest is cut off.
MESSAGE_LENGTH = 1000


@dataclass(frozen=True)
class CheckOutcome:
    """One answer. ``message`` says in a few words why, also when all is well."""

    verdict: Verdict
    message: str = ""

    @classmethod
    def healthy(cls, message: str = "") -> CheckOutcome:
        """Return that all is well."""
        return cls(Verdict.HEALTHY, message)

    @classmethod
    def unhealthy(cls, message: str) -> CheckOutcome:
        """Return that something is wrong."""
        return cls(Verdict.UNHEALTHY, message)

    @classmethod
    def undecided(cls, message: str) -> CheckOutcome:
        """Return that it cannot be found out; for a critical check that counts as wrong in the end."""
        return cls(Verdict.UNDECIDED, message)


@dataclass(frozen=True, kw_only=True)
class CheckContext:
    """What the executor lets its checks know of the node."""

    uptime: Callable[[], float]  #: seconds since boot
    executor_alive: Callable[[], bool]  #: whether the thread that works on updates runs
    api_address: str  #: host:port on which the node's own gRPC service listens
    tls: TlsFiles | None = None  #: the node's own certificate; None: only ask whether the port answers


@runtime_checkable
class HealthCheck(Protocol):
    """One question about the node.

    It is asked in a thread and an event loop of its own, so a check that blocks or crashes harms only its own answer.
    The same object is asked again in every round.
    """

    critical: bool  #: whether an unhealthy answer rolls an update back; the node's settings may say otherwise

    async def check(self, context: CheckContext) -> CheckOutcome:
        """Answer. May raise anything and may be cancelled at any ``await``; both count as undecided."""
        ...


class CheckSettings(BaseModel):
    """What a node's settings say about one check, under the check's name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True  #: False: not asked at all
    critical: bool | None = None  #: None: as the check itself says
    timeout: float = Field(default=10.0, gt=0, le=3600)  #: seconds for one answer; then it counts as undecided
    options: Mapping[str, Any] = {}  #: handed to the check's constructor


def result_of(name: str, outcome: CheckOutcome, *, critical: bool, duration: float) -> CheckResult:
    """Return the report's line for an answer that took ``duration`` seconds."""
    return CheckResult(
        name=name,
        verdict=outcome.verdict,
        critical=critical,
        message=outcome.message[:MESSAGE_LENGTH],
        duration_ms=round(duration * 1000, 3),
    )
