"""Go templates as --format has them: `{{.Names}}`, `{{range .Mounts}}…{{end}}`, `{{json .}}`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from devbox.cli.templates.functions import FUNCTIONS, CallError, Signature, fits, is_map
from devbox.cli.templates.nodes import (
    Action,
    Branch,
    Chain,
    Command,
    Dot,
    Field,
    Function,
    Jump,
    Literal,
    Node,
    Operand,
    Pipe,
    Text,
    Variable,
)
from devbox.cli.templates.parsing import parse
from devbox.cli.templates.printing import show
from devbox.cli.templates.values import ABSENT, Nil, Row, is_nil, truth, type_name
from devbox.errors import UsageError

_OUTPUT_MAX = 64 * 1024 * 1024
_MISSING = object()


class Template:
    """A parsed template; UsageError in docker's words where it cannot be read or used."""

    def __init__(self, source: str, *, rows: bool = False) -> None:
        self.source = source
        self._prefix = "failed to execute template: " if rows else "template parsing error: "
        try:
            self._nodes = parse(source, FUNCTIONS)
        except UsageError as error:
            prefix = "failed to parse template: " if rows else "template parsing error: "
            raise UsageError(prefix + error.message) from None

    def render(self, data: Any) -> str:
        """The text for one object."""
        try:
            return _Run(self.source, data).text(self._nodes)
        except UsageError as error:
            raise UsageError(self._prefix + error.message, hint=error.hint) from None

    def heading(self, headings: Mapping[str, Any]) -> str:
        """The text for the names of the fields: the head of a table."""
        return self.render(headings)


class _Break(Exception):  # noqa: N818 - it is no error
    """{{break}} or {{continue}} on its way to its {{range}}."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class _Run:
    """One evaluation."""

    def __init__(self, source: str, data: Any) -> None:
        self.source = source
        self.variables: list[tuple[str, Any]] = [("$", data)]
        self.parts: list[str] = []
        self.size = 0
        self.dot = data

    def text(self, nodes: Sequence[Node]) -> str:
        self._nodes(nodes)
        return "".join(self.parts)

    def _error(self, node: Any, message: str, *, hint: str = "") -> UsageError:
        line = self.source.count("\n", 0, node.at) + 1
        column = node.at - (self.source.rfind("\n", 0, node.at) + 1)
        column = len(self.source[node.at - column : node.at].encode(errors="surrogatepass"))
        return UsageError(f'template: :{line}:{column}: executing "" at <{node}>: {message}', hint=hint)

    def _write(self, text: str) -> None:
        self.size += len(text)
        if self.size > _OUTPUT_MAX:
            raise UsageError("the output of the template is too long")
        self.parts.append(text)

    def _nodes(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            match node:
                case Text():
                    self._write(node.text)
                case Action():
                    value = self._pipe(node.pipe)
                    if not node.pipe.variables:
                        self._write("<no value>" if value is _MISSING else show(value))
                case Branch(kind="range"):
                    self._range(node)
                case Branch():
                    self._branch(node)
                case Jump():
                    raise _Break(node.kind)

    def _branch(self, node: Branch) -> None:
        known, dot = len(self.variables), self.dot
        value = self._pipe(node.pipe)
        if value is not _MISSING and truth(value):
            if node.kind == "with":
                self.dot = value
            self._nodes(node.body)
        else:
            self._nodes(node.otherwise)
        self.dot = dot
        del self.variables[known:]

    def _range(self, node: Branch) -> None:
        known, dot = len(self.variables), self.dot
        value = self._pipe(node.pipe, declare=False)
        names = node.pipe.variables
        empty = True
        for key, item in self._items(node.pipe, value):
            empty = False
            self.dot = item
            values = (item,) if len(names) == 1 else (key, item)
            for name, element in zip(names, values, strict=False):
                self._bind(name, element, assigns=node.pipe.assigns)
            try:
                self._nodes(node.body)
            except _Break as jump:
                if jump.kind == "break":
                    break
            finally:
                if not node.pipe.assigns:
                    del self.variables[known:]
        self.dot = dot
        if empty:
            self._nodes(node.otherwise)
        self.dot = dot
        del self.variables[known:]

    def _items(self, pipe: Pipe, value: Any) -> Iterable[tuple[Any, Any]]:
        if value is _MISSING or is_nil(value):
            return ()
        if isinstance(value, dict):
            if not is_map(value):
                raise self._error(pipe, f"range can't iterate over {show(value)}")
            return ((key, value[key]) for key in sorted(value))
        if isinstance(value, list | tuple):
            return enumerate(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return ((number, number) for number in range(value))
        raise self._error(pipe, f"range can't iterate over {show(value)}")

    def _bind(self, name: str, value: Any, *, assigns: bool) -> None:
        if not assigns:
            self.variables.append((name, value))
            return
        for index in range(len(self.variables) - 1, -1, -1):
            if self.variables[index][0] == name:
                self.variables[index] = (name, value)
                return

    def _pipe(self, pipe: Pipe, *, declare: bool = True) -> Any:
        value: Any = None
        for number, command in enumerate(pipe.commands):
            value = self._command(command, () if number == 0 else (value,))
        if declare:
            for name in pipe.variables:
                self._bind(name, value, assigns=pipe.assigns)
        return value

    def _command(self, command: Command, final: tuple[Any, ...]) -> Any:
        first, *words = command.words
        match first:
            case Function():
                return self._call(command, first, words, final)
            case Field() | Variable() | Chain():
                value = self._value(first)
                if callable(value):
                    return self._method(command, first, value, words, final)
                if words or final:
                    name = (first.names or (str(first),))[-1]
                    raise self._error(first, f"{name} is not a method but has arguments")
                return value
            case Literal(source="nil"):
                raise self._error(first, "nil is not a command")
        if words or final:
            raise self._error(first, f"can't give argument to non-function {first}")
        return self._value(first)

    def _value(self, node: Operand) -> Any:
        match node:
            case Literal():
                return node.value
            case Dot():
                return self.dot
            case Field():
                return self._fields(node, self.dot, node.names)
            case Variable():
                return self._fields(node, self._variable(node.name), node.names)
            case Chain():
                return self._fields(node, self._pipe(node.head), node.names)
            case Pipe():
                return self._pipe(node)
        return self._call(node, node, [], ())

    def _variable(self, name: str) -> Any:
        return next(value for known, value in reversed(self.variables) if known == name)

    def _fields(self, node: Any, value: Any, names: tuple[str, ...]) -> Any:
        for name in names:
            value = self._field(node, value, name)
        return value

    def _field(self, node: Any, value: Any, name: str) -> Any:
        if value is _MISSING:
            return _MISSING
        if value is ABSENT:
            raise self._error(node, f'map has no entry for key "{name}"')
        if value is None:
            raise self._error(node, f'nil data; no entry for key "{name}"')
        if isinstance(value, Nil):
            if value.shown.startswith("map"):
                return _MISSING
            raise self._error(node, f"nil pointer evaluating interface {{}}.{name}")
        if not isinstance(value, dict):
            kind = type_name(value)
            raise self._error(node, f"can't evaluate field {name} in type {kind}")
        if name in value:
            return value[name]
        if is_map(value):
            return _MISSING
        raise self._error(node, _no_field(value, name), hint=_fields_of(value, name))

    def _method(
        self, command: Command, node: Any, method: Any, words: list[Operand], final: tuple[Any, ...]
    ) -> Any:
        arguments = [*map(self._value, words), *final]
        name = node.names[-1]
        if len(arguments) != 1:
            raise self._error(node, f"wrong number of args for {name}: want 1 got {len(arguments)}")
        if not isinstance(arguments[0], str):
            kind = type_name(arguments[0])
            raise self._error(command, f"wrong type for value; expected string; got {kind}")
        return method(arguments[0])

    def _call(self, node: Any, function: Function, words: list[Operand], final: tuple[Any, ...]) -> Any:
        signature = FUNCTIONS[function.name]
        self._count(function, signature, len(words) + len(final))
        if function.name in ("and", "or"):
            return self._short_circuit(function.name, words, final)
        arguments: list[Any] = [self._value(word) for word in words]
        places: list[Any] = [*words, *([node] * len(final))]
        arguments += final
        arguments = [None if value is _MISSING else value for value in arguments]
        for place, value, wanted in zip(places, arguments, signature.types, strict=False):
            if not fits(value, wanted):
                kind = "[]interface {}" if isinstance(value, list | tuple) else type_name(value)
                raise self._error(place, f"wrong type for value; expected {wanted}; got {kind}")
        try:
            return signature.call(*arguments)
        except CallError as error:
            raise self._error(node, f"error calling {function.name}: {error}") from None

    def _count(self, function: Function, signature: Signature, got: int) -> None:
        least = len(signature.types)
        if got < least or (got > least and not signature.variadic):
            want = f"at least {least}" if signature.variadic else str(least)
            raise self._error(function, f"wrong number of args for {function.name}: want {want} got {got}")

    def _short_circuit(self, name: str, words: list[Operand], final: tuple[Any, ...]) -> Any:
        value: Any = None
        for word in (*words, *final):
            value = self._value(word) if isinstance(word, Operand) else word
            if truth(value if value is not _MISSING else None) == (name == "or"):
                return value
        return value


def _no_field(value: dict[str, Any], name: str) -> str:
    if isinstance(value, Row):
        return f"can't evaluate field {name} in type *formatter.{value.noun.title()}Context"
    return f'map has no entry for key "{name}"'


def _fields_of(value: dict[str, Any], name: str) -> str:
    from devbox.cli.parse import did_you_mean

    return did_you_mean(name, value)
