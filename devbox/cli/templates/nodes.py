"""The tree of a Go template; each node prints as Go prints it, for messages."""

from __future__ import annotations

from typing import Any, NamedTuple


class Literal(NamedTuple):
    """A constant: string, number, character, boolean or nil."""

    at: int
    source: str
    value: Any

    def __str__(self) -> str:
        return self.source


class Dot(NamedTuple):
    """`.`"""

    at: int

    def __str__(self) -> str:
        return "."


class Field(NamedTuple):
    """`.A.B`"""

    at: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        return "." + ".".join(self.names)


class Variable(NamedTuple):
    """`$x` or `$x.A.B`"""

    at: int
    name: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ".".join((self.name, *self.names))


class Chain(NamedTuple):
    """`(pipeline).A.B`"""

    at: int
    head: Pipe
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"({self.head})." + ".".join(self.names)


class Function(NamedTuple):
    """The name of a function."""

    at: int
    name: str

    def __str__(self) -> str:
        return self.name


class Command(NamedTuple):
    """A function or method with its arguments, or a value."""

    at: int
    words: tuple[Operand, ...]

    def __str__(self) -> str:
        return " ".join(f"({word})" if isinstance(word, Pipe) else str(word) for word in self.words)


class Pipe(NamedTuple):
    """`$x := command | command`"""

    at: int
    variables: tuple[str, ...]
    assigns: bool
    """`=`, not `:=`"""
    commands: tuple[Command, ...]

    def __str__(self) -> str:
        front = f"{', '.join(self.variables)} {'=' if self.assigns else ':='} " if self.variables else ""
        return front + " | ".join(map(str, self.commands))


class Text(NamedTuple):
    """What stands between actions."""

    text: str


class Action(NamedTuple):
    """`{{pipeline}}`"""

    pipe: Pipe


class Branch(NamedTuple):
    """`{{if}}`, `{{with}}` or `{{range}}` with its `{{else}}`."""

    kind: str
    pipe: Pipe
    body: tuple[Node, ...]
    otherwise: tuple[Node, ...]


class Jump(NamedTuple):
    """`{{break}}` or `{{continue}}`"""

    kind: str


Operand = Literal | Dot | Field | Variable | Chain | Function | Pipe
Node = Text | Action | Branch | Jump
