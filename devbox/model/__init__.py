"""Frozen values, a file per noun; parsed at the edge, no I/O.

They are `NamedTuple`s and not dataclasses because importing `dataclasses` costs a hot command 12 ms.
"""
