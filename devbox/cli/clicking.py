"""The same grammar as click commands: help pages and shell completion. Hot commands never come here."""

from __future__ import annotations

import sys
from collections.abc import Callable

import click

from devbox.cli import grammar
from devbox.cli.grammar import Argument, Command, Option
from devbox.cli.parse import metavar, usage

_COMMON = ("run", "exec", "ps", "logs", "stop", "rm", "images", "bootstrap", "inspect", "link", "demo")


def show_help(path: list[str]) -> int:
    """Print the page of a command, a group or, for no words, of devbox."""
    root = build()
    context = click.Context(root, info_name="devbox", max_content_width=100)
    target: click.Command = root
    for word in path:
        found = target.get_command(context, word) if isinstance(target, click.Group) else None
        if found is None:
            break
        target = found
        context = click.Context(target, info_name=word, parent=context, max_content_width=100)
    sys.stdout.write(target.get_help(context) + "\n")
    return 0


def build() -> click.Group:
    """Every command of the grammar in a tree of click's."""
    root = _Root(name="devbox", help="Containers, images, volumes and links on this machine.")
    root.params = [click.Option(["--version", "-v"], is_flag=True, help="Print the version and end")]
    for name, title in {**grammar.GROUPS, **dict.fromkeys(grammar.HIDDEN_GROUPS, "")}.items():
        root.add_command(_Group(name=name, help=title, hidden=not title), name)
    for command in grammar.every():
        for path in (command.path, *command.aliases):
            parent = root if len(path) == 1 else root.commands[path[0]]
            assert isinstance(parent, click.Group)
            parent.add_command(_command(command), path[-1])
    return root


class _Group(click.Group):
    """A group that shows each command once, under its first name."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage(ctx.command_path, "COMMAND")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        names = [name for name, command in sorted(self.commands.items()) if self._shown(name, command)]
        self._section(formatter, "Commands", names)
        formatter.write_paragraph()
        formatter.write_text(f"'{ctx.command_path} COMMAND --help' tells more about a command.")

    def _shown(self, name: str, command: click.Command) -> bool:
        return not command.hidden and isinstance(command, _Command) and command.spec.path[-1] == name

    def _section(self, formatter: click.HelpFormatter, title: str, names: list[str]) -> None:
        with formatter.section(title):
            formatter.write_dl([(name, self.commands[name].help or "") for name in names])


class _Root(_Group):
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self._section(formatter, "Common commands", list(_COMMON))
        self._section(formatter, "Management commands", sorted(grammar.GROUPS))
        others = sorted(self.commands.keys() - set(_COMMON) - grammar.GROUPS.keys() - {*grammar.HIDDEN_GROUPS})
        self._section(formatter, "Commands", others)
        formatter.write_paragraph()
        formatter.write_text("'devbox COMMAND --help' tells more about a command.")


class _Command(click.Command):
    def __init__(self, spec: Command, params: list[click.Parameter]) -> None:
        super().__init__(spec.path[-1], help=spec.help, params=params, hidden=spec.hidden)
        self.spec = spec
        self.allow_interspersed_args = spec.interspersed

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[click.shell_completion.CompletionItem]:
        # behind the image, a word belongs to the command in the container
        if not self.spec.interspersed and ctx.params.get(self.spec.arguments[0].name):
            return []
        return super().shell_complete(ctx, incomplete)

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write_usage("", usage(self.spec).removeprefix("usage: "), prefix="Usage:")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        shown = {param.name: param.get_help_record(ctx) for param in self.get_params(ctx)}
        apart = [(title, [option.name for option in options]) for title, options in self.spec.sections]
        rest = shown.keys() - {name for _, names in apart for name in names}
        for title, names in [("Options", [name for name in shown if name in rest]), *apart]:
            records = [record for name in names if (record := shown[name])]
            with formatter.section(title):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        names = ["devbox " + " ".join(path) for path in (self.spec.path, *self.spec.aliases)]
        if len(names) > 1:
            with formatter.section("Aliases"):
                formatter.write_text(", ".join(names))
        super().format_epilog(ctx, formatter)


def _command(spec: Command) -> _Command:
    return _Command(spec, [*map(_option, spec.options), *map(_argument, spec.arguments)])


def _option(option: Option) -> click.Option:
    # click shows a short flag first; the grammar writes it first too
    declarations = [*option.flags, option.name]
    if option.kind == "flag":
        text = option.help + (" (default: true)" if option.default else "")
        return click.Option(
            declarations,
            is_flag=True,
            flag_value=True,  # before 8.2, click would take the opposite of the default
            default=bool(option.default),
            help=text,
            hidden=option.hidden,
        )
    text = option.help + (f" (default: {option.default})" if option.default else "")
    return click.Option(
        declarations,
        metavar=option.metavar,
        multiple=isinstance(option.default, tuple),
        default=option.default,
        help=text,
        hidden=option.hidden,
        shell_complete=_completer(option.complete or ("file" if option.kind in grammar.FILES else "")),
    )


def _argument(argument: Argument) -> click.Argument:
    return click.Argument(
        [argument.name],
        required=argument.nargs in "1+",
        nargs=-1 if argument.nargs in "*+" else 1,
        metavar=metavar(argument),
        shell_complete=_completer(argument.complete),
    )


def _completer(what: str) -> Callable[..., list[click.shell_completion.CompletionItem]] | None:
    if not what:
        return None

    def complete(
        _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        from devbox.cli.candidates import candidates

        item = click.shell_completion.CompletionItem
        if what == "file":
            return [item(incomplete, type="file")]
        return [item(word) for word in candidates(what) if word.startswith(incomplete)]

    return complete
