"""doctor: what is not as it must be, and the command that mends it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from devbox.cli.context import Context
from devbox.errors import DevboxError, NotFoundError
from devbox.model.finding import Finding
from devbox.model.invocation import Invocation

_MARKS = {"ok": "ok", "note": "note", "warning": "WARNING", "problem": "PROBLEM"}


def doctor(context: Context, invocation: Invocation) -> int:
    """Look at the engine, at machines and at the project; 1 when there is a problem."""
    found = list(_findings(context, invocation))
    problems = sum(finding.level == "problem" for finding in found)
    if invocation.flag("json"):
        from devbox.cli.output import as_json

        as_json(context, {"problems": problems, "findings": [finding._asdict() for finding in found]})
    else:
        _print(context, found, quiet=invocation.flag("quiet"))
    return 1 if problems else 0


def _findings(context: Context, invocation: Invocation) -> Iterator[Finding]:
    if sys.platform == "linux":
        from devbox.cli import doctor_engine

        yield from doctor_engine.findings(context.environ)
    yield from _machines(context, invocation.text("machine"))
    directory = os.path.join(context.cwd, invocation.text("directory"))
    if not os.path.isdir(directory):
        raise NotFoundError(f"there is no directory {directory}")
    from devbox.machine import doctor_project

    yield from doctor_project.findings(os.path.normpath(directory))


def _machines(context: Context, wanted: str) -> Iterator[Finding]:
    """Those that exist or that the settings name; on Linux nobody needs one."""
    from devbox.machine import doctor as machines
    from devbox.machine import places, settings

    try:
        known = settings.load(context.cwd)
        named = os.path.isfile(places.settings_file()) or sys.platform != "linux"
        names = [wanted] if wanted else sorted({*(known.machines if named else ()), *places.existing()})
        chosen = [settings.machine(name, context.cwd) for name in names]
    except DevboxError as error:
        yield Finding("machines", "problem", error.message, error.hint)
        return
    told = set()
    for each in chosen:
        for finding in machines.findings(each):
            if finding not in told:
                told.add(finding)
                yield finding


def _print(context: Context, found: list[Finding], *, quiet: bool) -> None:
    from devbox.cli.output import for_terminal

    topic = ""
    for finding in found:
        if quiet and finding.level not in ("warning", "problem"):
            continue
        if finding.topic != topic:
            topic = finding.topic
            context.out(topic)
        context.out(f"  {_MARKS[finding.level]:<8} {for_terminal(finding.text)}")
        if finding.mend:
            context.out(f"           {for_terminal(finding.mend)}")
