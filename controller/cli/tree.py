"""Every command of osctl on one page."""

from __future__ import annotations

from collections.abc import Mapping

from controller.cli.common import Common, common_options
from controller.cli.lazy import Lazy, LazyGroup


def _group(name: str, text: str, table: Mapping[str, Lazy]) -> LazyGroup:
    return LazyGroup(name, help=text, table=table)


_SCHEDULE = _group(
    "schedule",
    "Updates of single nodes: schedule, look up, cancel.",
    {
        "update": Lazy("schedule:update", "Schedule an update."),
        "status": Lazy("schedule:status", "Show one schedule."),
        "cancel": Lazy("schedule:cancel", "Withdraw an update that has not switched yet."),
        "list": Lazy("schedule:list_", "List schedules, newest first."),
    },
)
_ROLLBACK = _group(
    "rollback",
    "Go back to the previous slot, and the history of it.",
    {
        "trigger": Lazy("rollback:trigger", "Switch back to the previous slot and reboot."),
        "history": Lazy("rollback:history", "Show every rollback, oldest first."),
    },
)
_ROLLOUT = _group(
    "rollout",
    "Staged updates of many nodes, in waves.",
    {
        "create": Lazy("rollout:create", "Plan a rollout and start it."),
        "list": Lazy("rollout:list_", "List rollouts, newest first."),
        "get": Lazy("rollout:get", "Show one rollout with its waves and nodes."),
        "watch": Lazy("rollout:watch", "Follow a rollout until it ends or halts."),
        "pause": Lazy("rollout_change:pause", "Send no further orders until resumed."),
        "resume": Lazy("rollout_change:resume", "Go on after a pause or a halt."),
        "abort": Lazy("rollout_change:abort", "Stop for good."),
    },
)
_NODE = _group(
    "node",
    "The nodes that the controller knows.",
    {
        "list": Lazy("node:list_", "List nodes."),
        "get": Lazy("node:get", "Show one node."),
        "add": Lazy("node:add", "Register a node, or change its labels, address and key."),
    },
)
_CONTEXT = _group(
    "context",
    "Named connections: a controller or a node, and the certificate for it.",
    {
        "list": Lazy("context:list_", "List contexts."),
        "use": Lazy("context:use", "Make a context the one that is used."),
        "set": Lazy("context:set_", "Add or change a context."),
        "show": Lazy("context:show", "Show one context, or the one in use."),
        "remove": Lazy("context:remove", "Forget a context."),
    },
)
_CA = _group("ca", "Certificates.", {"dev": Lazy("ca:dev", "Make a development CA and issue certificates from it.")})

TABLE: Mapping[str, Lazy | LazyGroup] = {
    "schedule": _SCHEDULE,
    "health": Lazy("health:health", "Check system health."),
    "rollback": _ROLLBACK,
    "rollout": _ROLLOUT,
    "node": _NODE,
    "context": _CONTEXT,
    "ca": _CA,
    "demo": Lazy("demo:demo", "Run a whole fleet on this machine and roll out an update."),
    "doctor": Lazy("doctor:doctor", "Check whether this machine is ready, and what to do if not."),
    "completion": Lazy("completion:completion", "Print the shell's completion script."),
    "version": Lazy("version:version", "Print the version."),
}


def root() -> LazyGroup:
    """Return the command ``osctl`` with everything below it."""
    group = LazyGroup(
        "osctl",
        help="Staged A/B operating system updates for fleets of nodes, with rollback by themselves.",
        epilog="Exit codes: 0 done, 1 bug, 2 usage, 3 not found, 4 not allowed, 5 conflict, 6 unreachable, "
        "10 failed on the old slot, 11 rolled back, 12 paused by threshold, 13 cancelled, 14 unhealthy, "
        "15 image refused, 124 wait timed out, 130 interrupted.",
        table=TABLE,
        context_settings={"help_option_names": ["-h", "--help"], "obj": Common(), "max_content_width": 110},
    )
    common_options(group)
    return group
