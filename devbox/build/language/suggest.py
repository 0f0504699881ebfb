"""Did you mean: the nearest of some words."""

from __future__ import annotations

from collections.abc import Iterable

_DISTANCE_MAX = 2


def nearest(word: str, known: Iterable[str]) -> str:
    """The word that is two slips of the keyboard away at most; "" for none, and for a known word itself."""
    best, least = "", _DISTANCE_MAX + 1
    for each in known:
        if each == word:
            return ""
        if abs(len(each) - len(word)) < least and (distance := _distance(word, each)) < least:
            best, least = each, distance
    return best


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """A hint."""
    near = nearest(word, known)
    return f"did you mean {near}?" if near else otherwise


def _distance(one: str, other: str) -> int:
    """Letters to add, drop, change or swap with their neighbour."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for at, char in enumerate(one):
        following = [at + 1]
        for column, against in enumerate(other):
            cost = min(row[column + 1] + 1, following[-1] + 1, row[column] + (char != against))
            if at and column and char == other[column - 1] and against == one[at - 1]:
                cost = min(cost, before[column - 1] + 1)
            following.append(cost)
        before, row = row, following
    return row[-1]
