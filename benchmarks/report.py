"""The table: medians, ratios to devbox, and whether what must be reached is."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from benchmarks.rows import Row


class Result(NamedTuple):
    """The samples of a row by engine; an engine that could not do it has none."""

    row: Row
    samples: Mapping[str, Sequence[float]]

    @property
    def medians(self) -> dict[str, float]:
        """The median of each engine that has samples."""
        return {name: statistics.median(values) for name, values in self.samples.items() if values}


def table(results: Sequence[Result], names: Sequence[str], *, markdown: bool) -> str:
    """All results, for a terminal or for the documentation."""
    heads = ["work", *names, *(f"devbox / {name}" for name in names if name != "devbox"), "must reach", "reached"]
    lines = [_cells(result, names) for result in results]
    return _markdown(heads, lines) if markdown else _aligned(heads, lines)


def _cells(result: Result, names: Sequence[str]) -> list[str]:
    medians = result.medians
    values = [_value(medians.get(name), result.row.unit) for name in names]
    ratios = [_ratio(medians, name) for name in names if name != "devbox"]
    return [result.row.title, *values, *ratios, *_verdict(result)]


def _value(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"


def _ratio(medians: Mapping[str, float], name: str) -> str:
    if "devbox" not in medians or name not in medians:
        return "-"
    return f"{medians['devbox'] / medians[name]:.2f}"


def _verdict(result: Result) -> list[str]:
    goal, medians = result.row.goal, result.medians
    if goal is None:
        return ["", ""]
    limit = goal.limit(medians)
    if limit is None or "devbox" not in medians:
        return [goal.text, "?"]
    text = goal.text if "x" not in goal.text else f"{goal.text} = {_value(limit, result.row.unit)}"
    return [text, "yes" if medians["devbox"] <= limit else "NO"]


def _markdown(heads: list[str], lines: list[list[str]]) -> str:
    rows = [heads, ["---"] * len(heads), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _aligned(heads: list[str], lines: list[list[str]]) -> str:
    rows = [heads, *([cell.replace("`", "") for cell in line] for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
