"""Frozen values, a file per noun; parsed at the edge, no I/O.

They are `NamedTuple`s and not dataclasses because importing `dataclasses` costs a hot command 12 ms. The files
that define them do without `from __future__ import annotations`: a NamedTuple compiles each annotation that is a
string, which took every command 2 ms.
"""
