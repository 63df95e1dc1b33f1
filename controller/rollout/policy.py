"""How careful a rollout is: its waves and when it must stop. Values that check themselves."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from shared.errors import InputError

#: Seconds a node has to take an order before it counts as silent.
ACCEPT_DEADLINE = 3600.0
#: Seconds a node has from taking an order to its outcome, windows and start times not counted.
FINISH_DEADLINE = 7200.0
#: Seconds that a soak time or deadline may last, a year: beyond some length there is no calendar left to add it to.
LONGEST = 366 * 86400.0
#: The percentage that means "all the rest".
EVERYBODY = 100.0


@dataclass(frozen=True, kw_only=True)
class WavePlan:
    """One planned wave: exactly one of ``count`` and ``percent`` is set.

    Raises:
        InputError: neither or both are set, or a value is out of range.
    """

    count: int | None = None  #: this many nodes more
    percent: float | None = None  #: until this share of all targets is covered, earlier waves included; 0 < p <= 100
    soak: float = 0.0  #: seconds to watch the wave, once all its nodes are final, before the next one

    def __post_init__(self) -> None:
        if (self.count is None) == (self.percent is None):
            raise InputError("cannot use wave: give either a count or a percentage", cure="write waves like 1,25%,100%")
        if self.count is not None and self.count < 1:
            raise InputError(f"cannot use wave of {self.count} nodes: a count starts at 1")
        if self.percent is not None and not 0 < self.percent <= EVERYBODY:
            raise InputError(f"cannot use wave of {self.percent:g} %: a percentage lies above 0 and up to 100")
        if not 0 <= self.soak <= LONGEST:
            raise InputError(f"cannot use soak time of {self.soak:g} s: it lies between 0 and a year")


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Waves and limits of one rollout.

    The failure threshold looks at *finished* turns of the whole rollout (``gates.py``). With the defaults the first
    failure halts. ``max_failed`` alone (percent left at 0) is the only limit; with both set, either one halts.

    Raises:
        InputError: a value is out of range, or the percentages of the waves do not grow.
    """

    waves: tuple[WavePlan, ...] = ()  #: none: one wave with everybody
    max_failed_percent: float = 0.0  #: of finished turns; the rollout halts above it
    min_finished: int = 1  #: inside a wave the percentage is judged only once this many have finished
    max_failed: int | None = None  #: absolute number; the rollout halts above it
    max_in_flight: int = 0  #: orders out at the same time; 0: as many as the wave has nodes
    accept_deadline: float = ACCEPT_DEADLINE  #: seconds from the order to ``accepted``
    finish_deadline: float = FINISH_DEADLINE  #: seconds from ``accepted`` (or start time, or window) to the outcome

    def __post_init__(self) -> None:
        if not 0 <= self.max_failed_percent <= EVERYBODY:
            raise InputError(f"cannot use max_failed_percent {self.max_failed_percent:g}: it lies between 0 and 100")
        for name, low in (("min_finished", 1), ("max_in_flight", 0)):
            if getattr(self, name) < low:
                raise InputError(f"cannot use {name} {getattr(self, name)}: it is {low} or more")
        if self.max_failed is not None and self.max_failed < 0:
            raise InputError(f"cannot use max_failed {self.max_failed}: it is 0 or more")
        for name in ("accept_deadline", "finish_deadline"):
            if not 0 < getattr(self, name) <= LONGEST:
                raise InputError(f"cannot use {name} {getattr(self, name):g} s: it lies above 0 and up to a year")
        shares = [wave.percent for wave in self.waves if wave.percent is not None]
        if any(later <= earlier for earlier, later in pairwise(shares)):
            raise InputError(
                f"cannot use waves {', '.join(f'{p:g} %' for p in shares)}: percentages are cumulative and must grow",
                cure="write waves like 1,25%,100%",
            )


#: What an update sent straight to nodes uses: one wave, and nobody's failure stops another node.
DIRECT = Policy(max_failed_percent=EVERYBODY)
