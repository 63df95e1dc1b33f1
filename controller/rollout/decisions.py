"""What can be decided about a rollout. Values: ``decide.py`` finds them, ``changes.py`` carries them out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Start:
    """The rollout's time has come: scheduled to running."""


@dataclass(frozen=True)
class OpenWave:
    """The wave's turn has come."""

    index: int


@dataclass(frozen=True)
class OrderNode:
    """Send the node its update."""

    node_id: str


@dataclass(frozen=True)
class AlreadyThere:
    """The node runs the wanted version; its turn is over before it began."""

    node_id: str


@dataclass(frozen=True)
class Grant:
    """Let the staged node switch."""

    node_id: str


@dataclass(frozen=True)
class MarkUnknown:
    """The node missed a deadline."""

    node_id: str
    reason: str


@dataclass(frozen=True)
class Withdraw:
    """Ask the node to stop what it was ordered."""

    node_id: str
    reason: str
    give_back: bool  #: once stopped, the node waits for its turn again; else its turn is over


@dataclass(frozen=True)
class GiveBack:
    """A withdrawn order was never taken, and is too old now to be: the node waits for its turn again."""

    node_id: str


@dataclass(frozen=True)
class CancelTurn:
    """The turn is over before it began, or will be once its withdrawn order has stopped."""

    node_id: str
    reason: str


@dataclass(frozen=True)
class StartSoak:
    """The wave is complete: watch it."""

    index: int


@dataclass(frozen=True)
class FinishWave:
    """The wave is complete, watched and within the threshold."""

    index: int


@dataclass(frozen=True)
class Halt:
    """Too much has failed: no further orders."""

    reason: str


@dataclass(frozen=True)
class Succeed:
    """Every wave is done."""

    reason: str


@dataclass(frozen=True)
class Abort:
    """Every wave is done, yet only by cancelling: nothing was rolled out."""

    reason: str


@dataclass(frozen=True)
class Explain:
    """Nothing to do; what the rollout waits for has another reason than before."""

    reason: str


Decision = (
    Start
    | OpenWave
    | OrderNode
    | AlreadyThere
    | Grant
    | MarkUnknown
    | Withdraw
    | GiveBack
    | CancelTurn
    | StartSoak
    | FinishWave
    | Halt
    | Succeed
    | Abort
    | Explain
)
