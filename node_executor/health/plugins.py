"""Finds the health checks that are installed, and plans them by the node's settings.

Nothing that a plug-in does here can stop the executor: one that cannot be loaded is planned as a check whose answer
is undecided, with the reason. So is one that the settings name and nobody has installed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

import structlog

from node_executor.health.check import CheckContext, CheckOutcome, CheckSettings, HealthCheck

log = structlog.get_logger(__name__)

#: The entry point group that our own checks use, too.
GROUP = "maticos_fleet.health_checks"

#: Checks that every node has (requirement H2). One that is missing is an answer, not an oversight.
BUILT_IN = ("boot", "service", "network", "api")


@dataclass(frozen=True)
class PlannedCheck:
    """A check as this node asks it."""

    name: str
    check: HealthCheck
    critical: bool
    timeout: float  #: seconds


class BrokenCheck:
    """Stands for a check that cannot be asked.

    Critical unless the settings say otherwise: what it would have said is not known.
    """

    critical = True

    def __init__(self, reason: str) -> None:
        self.reason = reason

    async def check(self, context: CheckContext) -> CheckOutcome:
        """Say why there is no answer."""
        del context
        return CheckOutcome.undecided(self.reason)


def plan_checks(
    settings: Mapping[str, CheckSettings], found: Iterable[EntryPoint] | None = None
) -> tuple[PlannedCheck, ...]:
    """Return every enabled check: built-in ones first, in their order, then the others by name.

    Args:
        settings: by name of the check; one that is not named has the defaults.
        found: the entry points to take checks from; None: those of every installed package.
    """
    by_name: dict[str, dict[str, EntryPoint]] = {}
    for point in entry_points(group=GROUP) if found is None else found:
        by_name.setdefault(point.name, {})[point.value] = point
    others = sorted({*by_name, *settings} - set(BUILT_IN))
    plans = (_plan(name, settings.get(name, CheckSettings()), by_name.get(name, {})) for name in (*BUILT_IN, *others))
    return tuple(plan for plan in plans if plan is not None)


def _plan(name: str, settings: CheckSettings, found: Mapping[str, EntryPoint]) -> PlannedCheck | None:
    if not settings.enabled:
        return None
    check = _load(found, settings.options)
    if isinstance(check, BrokenCheck):
        log.warning("health check cannot be asked", check=name, reason=check.reason)
    critical = bool(check.critical) if settings.critical is None else settings.critical
    return PlannedCheck(name=name, check=check, critical=critical, timeout=settings.timeout)


def _load(found: Mapping[str, EntryPoint], options: Mapping[str, object]) -> HealthCheck:
    if not found:
        return BrokenCheck("no installed package offers a health check of this name")
    if len(found) > 1:
        return BrokenCheck(f"several packages offer a health check of this name: {', '.join(sorted(found))}")
    (point,) = found.values()
    try:
        check = point.load()(options)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody else's code may raise anything
        return BrokenCheck(f"cannot load {point.value}: {type(error).__name__}: {error}")
    if not isinstance(check, HealthCheck):
        return BrokenCheck(f"cannot use {point.value}: it has no `critical` or no `check`")
    return check
