"""Health checks: asked after a switch, and whenever somebody wants to know (requirements H1 to H4).

A check is any class that an entry point of the group ``maticos_fleet.health_checks`` names; see ``check.HealthCheck``.
"""

from node_executor.health.check import CheckContext, CheckOutcome, CheckSettings, HealthCheck
from node_executor.health.checker import HealthChecker
from node_executor.health.plugins import BUILT_IN, GROUP, PlannedCheck, plan_checks
from node_executor.health.verdicts import verdict_of

__all__ = [
    "BUILT_IN",
    "GROUP",
    "CheckContext",
    "CheckOutcome",
    "CheckSettings",
    "HealthCheck",
    "HealthChecker",
    "PlannedCheck",
    "plan_checks",
    "verdict_of",
]
