"""version and completion: what needs neither Linux nor a store."""

from __future__ import annotations

from devbox.cli.context import Context
from devbox.cli.output import one
from devbox.model.invocation import Invocation


def version(context: Context, invocation: Invocation) -> int:
    """`devbox version`."""
    from devbox.cli.documents.version import document

    wanted = invocation.text("format")
    if wanted:
        whole = not wanted.startswith(("{{.Client", "{{.Server.Version"))
        one(context, wanted, document(with_programs=whole))
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


def completion(context: Context, invocation: Invocation) -> int:
    """Print the script that makes a shell complete devbox's words."""
    from devbox.cli.completion import script

    context.out(script(invocation.text("shell")))
    return 0
