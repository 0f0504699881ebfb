"""info, version, check and completion."""

from __future__ import annotations

from typing import Any

from devbox.cli.context import Context
from devbox.model.invocation import Invocation


def version(context: Context, invocation: Invocation) -> int:
    """`devbox version`."""
    from devbox.cli.documents.version import document

    wanted = invocation.text("format")
    if wanted:
        whole = not wanted.startswith(("{{.Client", "{{.Server.Version"))
        _formatted(context, wanted, document(with_programs=whole))
        return 0
    shown = document(with_programs=True)
    client = shown["Client"]
    context.out("Client:")
    context.out(f" Version:           {client['Version']}")
    context.out(f" Python version:    {client['PythonVersion']}")
    context.out(f" OS/Arch:           {client['Os']}/{client['Arch']}")
    context.out("")
    context.out("Server: devbox, without a daemon")
    for component in shown["Server"]["Components"]:
        context.out(f" {component['Name']}:")
        context.out(f"  Version:          {component['Version']}")
    return 0


def info(context: Context, invocation: Invocation) -> int:
    """`devbox info`."""
    from devbox.cli.documents.info import document
    from devbox.cli.info_text import lines

    shown = document(context.reconciled())
    wanted = invocation.text("format")
    if wanted:
        _formatted(context, wanted, shown)
        return 0
    for line in lines(shown):
        context.out(line)
    for warning in shown["Warnings"]:
        context.err(warning)
    return 0


def _formatted(context: Context, wanted: str, shown: dict[str, Any]) -> None:
    from devbox.cli.output import for_terminal
    from devbox.cli.template import Template

    context.out(for_terminal(Template("{{json .}}" if wanted == "json" else wanted).render(shown)))


def check(context: Context, invocation: Invocation) -> int:
    """Find, and with --repair mend, what is missing, altered or surplus; 1 when something is left."""
    from devbox.cli.checking import problems

    repair = invocation.flag("repair")
    left = 0
    for problem in problems(context.reconciled(), repair=repair):
        mended = repair and problem.mendable
        left += not mended
        context.out(f"{'repaired' if mended else 'found'}: {problem.sentence}")
    if not left:
        context.out("the store is in order")
        return 0
    hint = "" if repair else ": 'devbox check --repair' repairs what can be repaired"
    context.err(f"{left} problem{'s' * (left != 1)} left{hint}")
    return 1


def completion(context: Context, invocation: Invocation) -> int:
    """Print the script that makes a shell complete devbox's words."""
    from devbox.cli.completion import script

    context.out(script(invocation.text("shell")))
    return 0
