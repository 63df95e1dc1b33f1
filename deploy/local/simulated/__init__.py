"""A whole node in memory: see ``machine`` for what can be scripted, ``node`` for how to drive it."""

from deploy.local.simulated.files import MemoryFile
from deploy.local.simulated.machine import NothingBootableError, PowerCut, SimulatedMachine
from deploy.local.simulated.node import SimulatedClock, SimulatedNode
from deploy.local.simulated.ports import simulated_ports

__all__ = [
    "MemoryFile",
    "NothingBootableError",
    "PowerCut",
    "SimulatedClock",
    "SimulatedMachine",
    "SimulatedNode",
    "simulated_ports",
]
