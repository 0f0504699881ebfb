"""Shell completion with click's scripts."""

from __future__ import annotations

from devbox.errors import UsageError

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_DEVBOX_COMPLETE"


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
