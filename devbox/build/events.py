"""What a build tells of its progress, in the order in which it happens."""

from collections.abc import Callable
from typing import Literal, NamedTuple

Outcome = Literal["done", "cached", "failed", "stopped"]


class Started(NamedTuple):
    """A step begins; numbers count from 1."""

    number: int
    title: str
    at: float
    """seconds since the epoch"""


class Printed(NamedTuple):
    """A program of the step printed something."""

    number: int
    data: bytes
    at: float


class Ended(NamedTuple):
    """A step has ended."""

    number: int
    outcome: Outcome
    at: float


Event = Started | Printed | Ended
Tell = Callable[[Event], None]
"""called from any thread of the build"""
