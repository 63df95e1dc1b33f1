"""Fleet and policy to waves: pure. Every chosen node lands in exactly one wave.

Rules:
- The order is a salted hash of (salt, node id): the same rollout always draws the same order, another rollout another
  one, so that it is not always the same node that goes first.
- The first of several waves prefers nodes seen lately: a canary that is switched off teaches nothing.
- Percentages are cumulative shares of all nodes, rounded up; a wave that an earlier one has already covered is left
  out; whoever the planned waves leave over forms a last wave.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from controller.rollout.model import FleetNode, Policy, Target, Wave, WavePlan
from controller.rollout.policy import EVERYBODY

#: A node heard of within this time counts as seen lately.
LATELY = timedelta(minutes=15)


@dataclass(frozen=True)
class Plan:
    """What a rollout starts from."""

    waves: tuple[Wave, ...]
    targets: tuple[Target, ...]


def plan(nodes: Sequence[FleetNode], policy: Policy, *, salt: str, now: datetime) -> Plan:
    """Return waves and targets for ``nodes`` (at least one, no id twice)."""
    sizes = wave_sizes(len(nodes), policy.waves)
    drawn = sorted(nodes, key=lambda node: _draw(salt, node.id))
    if len(sizes) > 1:
        canaries = sorted(drawn, key=lambda node: not _seen_lately(node, now))[: sizes[0][0]]
        first = {node.id for node in canaries}
        drawn = canaries + [node for node in drawn if node.id not in first]
    waves = tuple(Wave(index=index, size=size, soak=soak) for index, (size, soak) in enumerate(sizes, start=1))
    places = [wave.index for wave in waves for _ in range(wave.size)]
    targets = tuple(
        Target(node_id=node.id, wave=place, rank=rank)
        for rank, (node, place) in enumerate(zip(drawn, places, strict=True))
    )
    return Plan(waves, targets)


def wave_sizes(total: int, plans: Sequence[WavePlan]) -> list[tuple[int, float]]:
    """Return (nodes, soak seconds) for each wave; the sizes are above 0 and add up to ``total``."""
    sizes: list[tuple[int, float]] = []
    covered = 0
    for planned in (*plans, WavePlan(percent=EVERYBODY)):
        until = covered + planned.count if planned.count is not None else _share(total, planned.percent or 0)
        size = min(until, total) - covered
        if size > 0:
            sizes.append((size, planned.soak))
            covered += size
    return sizes


def _share(total: int, percent: float) -> int:
    # 7 % of 100 is 7.000000000000001 in floating point: nobody means 8 by it.
    return math.ceil(round(total * percent / EVERYBODY, 6))


def _draw(salt: str, node_id: str) -> bytes:
    return hashlib.sha256(f"{salt}\0{node_id}".encode()).digest()


def _seen_lately(node: FleetNode, now: datetime) -> bool:
    return node.last_seen is not None and now - node.last_seen <= LATELY
