"""Prints docs/reference/node-states.md from the transition table: ``python -m node_executor.machine_docs``."""

from __future__ import annotations

import inspect
import re
import sys
from enum import StrEnum

from node_executor import machine
from node_executor.machine import MAX_BOOTS, MAX_INSTALLS, MAX_MOVES, RESUME, TABLE, Arrival, Effect, Signal
from shared.states import Phase

_HEAD = """# Node states

<!-- Printed by `python -m node_executor.machine_docs` from node_executor/machine.py. Do not edit: a test compares. -->

One update on one node moves through these phases. Users see the *state*; the *phase* says where inside it the node
stands. The phase is durable before its effect begins, so a kill or a power cut at any moment is taken up again.
"""


def meanings(enum: type[StrEnum]) -> dict[str, str]:
    """Return the ``#:`` comment of each member, from the source: said once, shown everywhere."""
    found = re.findall(r'^    [A-Z_]+ = "(\w+)"  #: (.*)$', inspect.getsource(enum), re.MULTILINE)
    return dict(found)


def render() -> str:
    """Return the page."""
    parts = [_HEAD, _diagram(), _phases(), _effects(), _table(), _resume(), _budgets()]
    return "\n".join(parts)


def _diagram() -> str:
    edges: dict[tuple[Phase, Phase], list[str]] = {}
    for (start, signal), step in TABLE.items():
        if start is not step.phase:
            edges.setdefault((start, step.phase), []).append(signal)
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> pending"]
    lines += [f"    {start} --> {end}: {', '.join(signals)}" for (start, end), signals in edges.items()]
    lines += [f"    {phase} --> [*]" for phase in Phase if phase.final]
    return "\n".join([*lines, "```", ""])


def _phases() -> str:
    meaning = meanings(Phase)
    rows = [f"| `{p}` | {p.schedule_state} | {meaning[p]} |" for p in Phase]
    return "\n".join(["## Phases", "", "| Phase | State shown | Meaning |", "|---|---|---|", *rows, ""])


def _effects() -> str:
    meaning = meanings(Effect)
    rows = [f"| `{e}` | {meaning[e]} |" for e in Effect]
    head = ["## Effects", "", "Each may be repeated after a crash.", "", "| Effect | What is done |", "|---|---|"]
    return "\n".join([*head, *rows, ""])


def _table() -> str:
    meaning = meanings(Signal)
    rows = [
        f"| `{start}` | `{signal}` | `{step.phase}` | `{step.effect}` | {meaning[signal]} |"
        for (start, signal), step in TABLE.items()
    ]
    head = ["## Transitions", "", "A pair that is not listed is refused.", ""]
    return "\n".join([*head, "| In phase | Signal | Next phase | Effect | Why |", "|---|---|---|---|---|", *rows, ""])


def _resume() -> str:
    meaning = meanings(Arrival)
    working = [p for p in Phase if not p.final and p is not Phase.PENDING]
    head = "| Phase | " + " | ".join(f"`{a}`" for a in Arrival) + " |"
    rows = [f"| `{p}` | " + " | ".join(f"`{RESUME.get((p, a), Signal.LOST)}`" for a in Arrival) + " |" for p in working]
    said = [f"- `{a}`: {meaning[a]}" for a in Arrival]
    intro = ["## After a restart", "", "Which signal a phase gets depends on where the machine has come up:", ""]
    return "\n".join([*intro, *said, "", head, "|---" * (len(Arrival) + 1) + "|", *rows, ""])


def _budgets() -> str:
    return f"""## Budgets

- An unproven slot is booted at most {MAX_BOOTS} times; the next time the executor finds itself in it, it rolls back
  (`{Signal.BOOT_LOOP}`).
- One update begins to write its slot at most {MAX_INSTALLS} times, and takes at most {MAX_MOVES} steps; then it is
  ended (`{Signal.LOOPED}`). Restarts while it is staged and waits are not counted.
- A cancel is in time in {", ".join(f"`{p}`" for p in Phase if p in machine.CANCELLABLE)}; later it is too late.
- No row leads from `{Phase.ROLLING_BACK}` to another switch: a node never bounces between its slots by itself.
"""


if __name__ == "__main__":
    sys.stdout.write(render())
