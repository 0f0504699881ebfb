"""What `devbox check` finds."""

from typing import NamedTuple


class Problem(NamedTuple):
    """One thing that is wrong, in a sentence; `mendable` when --repair puts it right."""

    kind: str
    """what it is about, by a word of the room that found it"""
    name: str
    """which one: an id, a path, an interface"""
    sentence: str
    mendable: bool = True
