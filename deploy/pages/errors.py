"""docs/reference/errors.md: every error kind, where it shows, and what to do; from ``shared.errors``."""

from __future__ import annotations

from controller.cli.exits import of_error
from deploy.pages.markdown import first_line, head, table
from shared.errors import FleetError, all_errors
from shared.wire import status_code

_TEXT = """
Every error has a *kind*, a sentence and mostly a cure. The kind is the same word in logs, in the history, in
`error_kind` of schedules and targets, in `ErrorDetail.kind` of a failed gRPC call, and in `error.kind` of
`osctl -o json`.

*Exit code* is how osctl ends when a command itself fails with this kind. An update that ends with such a kind
on its node is another matter: `--wait` then ends with 15 for the kinds of the image family, with 14 for
`unhealthy`, and with 10 for the rest. *Retriable*: asking again, unchanged, may help.
"""

#: Kinds that are no class: how an update, a turn or a rollback came to its end.
OUTCOMES = {
    "unhealthy": "a critical health check did not pass in time on the new slot",
    "wrong_version": "the booted system says another version than the order",
    "fell_back": "the node came up in the old slot although the new one was to boot",
    "boot_loop": "the new slot booted too often without proving itself",
    "manual": "somebody asked for the rollback",
    "interrupted": "the node was interrupted where going on would not have been safe",
    "replaced": "a newer order took the place of one that had not begun to switch",
    "no_report": "the controller gave up waiting for the node",
}

_OPERATORS = """## What scripts should do

- 2, 3, 4, 5: the request is at fault; repeating it will not help.
- 6: repeat it, with a pause. With an `--idempotency-key` a repeated request does nothing twice.
- 10, 11, 12, 14, 15: the update has ended; read `error_kind` and `reason` with `osctl schedule status` or
  `osctl rollout get`.
- 124: nothing has ended; look again, or wait longer.
"""


def _depth(cls: type[FleetError]) -> int:
    return len(cls.__mro__)


def family(cls: type[FleetError]) -> type[FleetError]:
    """Return the ancestor just below the root, which says who can mend it."""
    return next(
        (base for base in reversed(cls.__mro__) if issubclass(base, FleetError) and base is not FleetError), cls
    )


def render() -> str:
    """Return the page."""
    classes = sorted(all_errors().values(), key=lambda cls: (family(cls).__name__, _depth(cls), cls.kind))
    rows = [
        (
            f"`{cls.kind}`",
            first_line(cls),
            "yes" if cls.retriable else "no",
            str(int(of_error(cls()))),
            status_code(cls()).name,
            f"`{family(cls).kind}`",
        )
        for cls in classes
    ]
    headers = ("Kind", "Meaning", "Retriable", "Exit code", "gRPC status", "Family")
    others = table(("Kind", "Meaning"), [(f"`{kind}`", text) for kind, text in OUTCOMES.items()])
    return "\n".join(
        [
            head("Errors", _TEXT),
            "## Kinds\n",
            table(headers, rows),
            "## Kinds of outcomes\n",
            "In `error_kind` of schedules, targets and rollbacks stand, beside the kinds above:\n",
            others,
            _OPERATORS,
        ]
    )
