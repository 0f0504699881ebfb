"""Shell completion with click, and its scripts but for bash's."""

from __future__ import annotations

from devbox.errors import UsageError

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_DEVBOX_COMPLETE"
_BASH = r"""_devbox_completion() {
    local IFS=$'\n' line=${COMP_LINE:0:COMP_POINT} item begun=
    # for bash a colon begins a word, for us im:1 is one: what stands before the last colon is not written again
    [[ $2 != : && $line == *:"$2" || $2 == : ]] && begun=${line##*[[:space:]]} begun=${begun%"${2#:}"}
    COMPREPLY=()
    for item in $(env COMP_WORDS="$line" _DEVBOX_COMPLETE=bash_complete "$1"); do
        case $item in
            dir,*) compopt -o dirnames ;;
            file,*) compopt -o default ;;
            plain,*) item=${item#plain,}; COMPREPLY+=("${item#"${begun#*=}"}") ;;
        esac
    done
}

complete -o nosort -F _devbox_completion devbox
"""


def script(shell: str) -> str:
    """The script to be read by a shell."""
    if shell not in SHELLS:
        raise UsageError(f"there is no completion for {shell!r}", hint=f"there is one for {', '.join(SHELLS)}")
    if shell == "bash":
        return _BASH
    from click.shell_completion import get_completion_class

    from devbox.cli.clicking import build

    kind = get_completion_class(shell)
    assert kind is not None
    complete = kind(build(), {}, "devbox", VARIABLE)
    return complete.source_template % complete.source_vars()


def answer(instruction: str) -> int:
    """What the shell asked for when it set the variable: print the words that fit."""
    import os

    from click.shell_completion import BashComplete, add_completion_class, shell_complete, split_arg_string

    from devbox.cli.clicking import build

    class Bash(BashComplete):
        """Completes the last word of a line, which our script hands over as it was typed."""

        def get_completion_args(self) -> tuple[list[str], str]:
            line = os.environ["COMP_WORDS"]
            words = split_arg_string(line) + ([""] if line[-1:].isspace() else [])
            return words[1:-1], words[-1]

    add_completion_class(Bash)
    return shell_complete(build(), {}, "devbox", VARIABLE, instruction)
