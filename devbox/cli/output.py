"""Listings and documents as docker prints them: tables, ids, JSON, Go templates."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from devbox.cli.context import Context
from devbox.cli.escape import escape, escape_cell, escape_json
from devbox.model.invocation import Invocation

Row = Mapping[str, Any]
"""docker's template fields: strings, or a function where docker has a method with arguments (`.Label "x"`)"""
Columns = Sequence[tuple[str, str]]
_GAP = 3


def listing(
    context: Context,
    invocation: Invocation,
    rows: Iterable[Row],
    *,
    columns: Columns,
    id_key: str = "ID",
) -> None:
    """Print rows as the invocation's `quiet` and `format` want them.

    `columns` are (field, heading) pairs of the table; `id_key` is the field that --quiet prints.
    """
    params = invocation.params
    wanted = str(params.get("format") or "table")
    if wanted == "json":
        wanted = "{{json .}}"
    if wanted == "table":
        if params.get("quiet"):
            for row in rows:
                context.out(escape_cell(str(row[id_key])))
        else:
            table(
                context, [heading for _, heading in columns], [[str(r[key]) for key, _ in columns] for r in rows]
            )
        return
    _templated(context, wanted, rows, columns)


def table(context: Context, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table aligned as docker's: three blanks between columns, none at the end."""
    cells = [[escape_cell(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(map(len, column)) + _GAP for column in zip(*cells, strict=True)]
    for row in cells:
        line = "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        context.out(line.rstrip())


def documents(context: Context, invocation: Invocation, docs: Sequence[Mapping[str, Any]]) -> None:
    """Print the objects of an inspect command: one JSON list, or each through the invocation's `format`."""
    wanted = str(invocation.params.get("format") or "")
    if not wanted:
        context.out(safe_json(json.dumps(docs, indent=4, ensure_ascii=False)))
    elif wanted == "json":
        context.out(safe_json(json.dumps(docs, separators=(",", ":"), ensure_ascii=False)))
    else:
        from devbox.cli.template import Template

        template = Template(wanted)
        for document in docs:
            context.out(for_terminal(template.render(document)))


def for_terminal(text: str) -> str:
    """Escape what a template printed when a person looks at it; scripts get the bytes as they are."""
    return escape(text) if sys.stdout.isatty() else text


def safe_json(text: str) -> str:
    """JSON that no terminal misreads and every parser reads as before."""
    return escape_json(text)


def _templated(context: Context, wanted: str, rows: Iterable[Row], columns: Columns) -> None:
    from devbox.cli.template import Template

    name, _, rest = wanted.partition(" ")
    if name != "table":
        template = Template(wanted)
        for row in rows:
            context.out(for_terminal(template.render(row)))
        return
    template = Template(rest)
    headings = {field: heading for field, heading in columns}
    lines = [template.heading(headings), *(template.render(row) for row in rows)]
    cells = [[escape_cell(cell) for cell in line.split("\t")] for line in lines]
    _ragged(context, cells)


def _ragged(context: Context, rows: list[list[str]]) -> None:
    widths: list[int] = []
    for row in rows:
        for number, cell in enumerate(row):
            if number == len(widths):
                widths.append(0)
            widths[number] = max(widths[number], len(cell) + _GAP)
    for row in rows:
        line = "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        context.out(line.rstrip())
