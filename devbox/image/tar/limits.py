"""How much an archive may make of the machine before it is refused as a bomb."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

from typing import NamedTuple

MIB = 1 << 20
GIB = 1 << 30

RECORD_MAX = MIB
"""bytes of the PAX and long-name records of one entry"""
PATH_MAX = 4095
"""bytes of a path in an archive: nothing longer can be named by a process"""


class Limits(NamedTuple):
    """Bounds of one archive; `size` counts its uncompressed bytes and the holes of its sparse files."""

    size: int = 64 * GIB
    entries: int = 1_000_000
    ratio: int = 200
    """uncompressed bytes per compressed byte, for what is over `free`"""
    free: int = GIB

    def for_input(self, compressed: int) -> Limits:
        """The bounds of an archive that takes `compressed` bytes as it is stored."""
        return self._replace(size=min(self.size, max(self.free, compressed * self.ratio)))
