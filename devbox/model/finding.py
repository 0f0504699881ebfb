"""What `devbox doctor` finds."""

from typing import Literal, NamedTuple

Level = Literal["ok", "note", "warning", "problem"]


class Finding(NamedTuple):
    """One thing that was looked at."""

    topic: str
    """which part: engine, machine NAME, project"""
    level: Level
    """problem: something will not work; warning: it may not, or badly; note: good to know"""
    text: str
    mend: str = ""
    """the exact command that puts it right, "" when there is none"""
