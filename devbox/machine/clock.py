"""Whether a machine's clock goes wrong, from the times in a ping and its answer (pure); nanoseconds throughout."""

from __future__ import annotations

TOLERANCE = 50_000_000
"""a smaller difference is left alone: make and rsync see it, but a step backwards every few seconds is worse"""


def correction(asked: int, answered: int, heard: int) -> int:
    """By how much the machine's clock is to be moved, 0 for not at all.

    The answer was given somewhere between `asked` and `heard` by our clock, so half of that is in doubt.
    """
    half = max(0, heard - asked) // 2
    move = asked + half - answered
    return move if abs(move) > TOLERANCE + half else 0
