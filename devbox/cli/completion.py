"""Shell completion: click's scripts, and the names of what there is."""

from __future__ import annotations

from collections.abc import Iterable

from devbox.errors import DevboxError, UsageError

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_DEVBOX_COMPLETE"
_QUERIES = {
    "container": "SELECT name FROM containers ORDER BY name",
    "image": "SELECT name FROM tags ORDER BY name",
    "network": "SELECT name FROM networks ORDER BY name",
    "volume": "SELECT name FROM volumes WHERE NOT anonymous ORDER BY name",
}


def script(shell: str) -> str:
    """The script to be read by a shell."""
    if shell not in SHELLS:
        raise UsageError(f"there is no completion for {shell!r}", hint=f"there is one for {', '.join(SHELLS)}")
    from click.shell_completion import BashComplete, get_completion_class

    from devbox.cli.clicking import build

    # click would start bash to ask for its version
    kind = BashComplete if shell == "bash" else get_completion_class(shell)
    assert kind is not None
    complete = kind(build(), {}, "devbox", VARIABLE)
    return complete.source_template % complete.source_vars()


def answer(instruction: str) -> int:
    """What the shell asked for when it set the variable: print the words that fit."""
    from click.shell_completion import shell_complete

    from devbox.cli.clicking import build

    return shell_complete(build(), {}, "devbox", VARIABLE, instruction)


def candidates(what: str) -> list[str]:
    """Words for an argument: names of a kind, of several (`a+b`), or fixed ones (`a|b`)."""
    if "|" in what or (what not in _QUERIES and "+" not in what):
        return what.split("|")
    return [name for kind in what.split("+") for name in _names(kind)]


def _names(kind: str) -> Iterable[str]:
    """Nothing where the store cannot be read: a shell has no place for an error."""
    import os
    import sqlite3

    from devbox.cli.context import Context

    if os.geteuid() != 0 and not os.environ.get("DEVBOX_ROOT"):
        return []
    context = Context()
    try:
        names = [str(row[0]) for row in context.store.db.execute(_QUERIES[kind])]
    except (DevboxError, sqlite3.Error, OSError):
        return []
    finally:
        context.close()
    if kind != "image":
        return names
    from devbox.model.reference import familiar

    short = [familiar(name) for name in names]
    return [*short, *(name.removesuffix(":latest") for name in short if name.endswith(":latest"))]
