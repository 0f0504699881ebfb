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
_WIDTH_MIN = 10


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
    wanted = str(params.get("format") or "").strip(" ") or "table"
    if params.get("quiet"):
        if wanted != "table":
            context.err("WARNING: Ignoring custom format, because both --format and --quiet are set.")
        for row in rows:
            context.out(escape_cell(str(row[id_key])))
    elif wanted == "table":
        cells = [[str(row[key]) for key, _ in columns] for row in rows]
        table(context, [heading for _, heading in columns], cells)
    else:
        _templated(context, invocation, wanted, rows, columns)


def table(context: Context, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table aligned as docker's: columns of ten at least, three blanks between them."""
    lines = [[escape_cell(cell) for cell in row] for row in (headings, *rows)]
    widths: list[int] = []
    for cells in lines:
        for number, cell in enumerate(cells):
            if number == len(widths):
                widths.append(_WIDTH_MIN)
            widths[number] = max(widths[number], len(cell) + _GAP)
    for cells in lines:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=False))
        context.out("".join(padded).rstrip())


def documents(context: Context, invocation: Invocation, docs: Sequence[Mapping[str, Any]]) -> None:
    """Print the objects of an inspect command: one JSON list, or each through the invocation's `format`."""
    wanted = str(invocation.params.get("format") or "")
    if wanted in ("", "json"):
        from devbox.cli.templates.values import plain

        shape: dict[str, Any] = {"separators": (",", ":")} if wanted else {"indent": 4}
        context.out(escape_json(json.dumps(plain(docs), ensure_ascii=False, **shape)))
    else:
        from devbox.cli.templates.template import Template

        template = Template(wanted)
        for document in docs:
            context.out(for_terminal(template.render(document)))


def one(context: Context, wanted: str, document: Mapping[str, Any]) -> None:
    """Print one object through a format: json or a template."""
    from devbox.cli.templates.template import Template

    context.out(for_terminal(Template("{{json .}}" if wanted == "json" else wanted).render(document)))


def as_json(context: Context, document: Any, *, indent: int = 4) -> None:
    """Print a document of our own as JSON."""
    context.out(escape_json(json.dumps(document, ensure_ascii=False, indent=indent)))


def for_terminal(text: str) -> str:
    """Escape what a template printed when a person looks at it; scripts get the bytes as they are."""
    return escape(text) if sys.stdout.isatty() else text


def _templated(
    context: Context, invocation: Invocation, wanted: str, rows: Iterable[Row], columns: Columns
) -> None:
    from devbox.cli.templates.template import Template
    from devbox.cli.templates.values import Row as TemplateRow

    source = "{{json .}}" if wanted == "json" else wanted.removeprefix("table ").strip(" ")
    template = Template(source.replace("\\t", "\t").replace("\\n", "\n"), rows=True)
    texts = (template.render(TemplateRow(row, noun=invocation.command[0])) for row in rows)
    if not wanted.startswith("table "):
        for text in texts:
            context.out(for_terminal(text))
        return
    lines = list(texts)
    table(context, template.heading(_Headings(columns)).split("\t"), [line.split("\t") for line in lines])


class _Headings(dict[str, Any]):
    """The heading of any field: the table's own, or its name in capitals: LocalVolumes -> LOCAL VOLUMES."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> Any:
        if key == "Label":
            return _label_heading
        words = "".join(" " + letter if letter.isupper() else letter for letter in key).split()
        return key.upper() if len(words) == len(key) else " ".join(words).upper()


def _label_heading(label: str) -> str:
    return label.rpartition(".")[2].replace("-", " ").replace("_", " ")


def report_deleted(context: Context, what: str, lines: Sequence[str]) -> None:
    """docker's account of what a prune has taken away; nothing for nothing."""
    if lines:
        for line in (f"Deleted {what}:", *lines, ""):
            context.out(line)
