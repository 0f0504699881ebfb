"""Tokens to a tree, by the grammar of text/template without `define`, `template` and `block`."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

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
from devbox.cli.templates.tokens import Token, problem, tokens
from devbox.errors import UsageError

_DEPTH_MAX = 40
_OPERANDS = frozenset(
    ("bool", "char", "dot", "field", "identifier", "lparen", "nil", "number", "raw", "string", "variable")
)
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|([abfnrtv\\'\"])|(.?))"
)


def parse(source: str, functions: Collection[str]) -> tuple[Node, ...]:
    """The nodes of a template; UsageError, as docker words it, for what is no template."""
    parser = _Parser(source, functions)
    nodes, closing = parser.nodes()
    if closing.kind != "eof":
        raise parser.error(closing, f"unexpected {{{{{closing.kind}}}}}")
    return nodes


class _Parser:
    def __init__(self, source: str, functions: Collection[str]) -> None:
        self.source = source
        self.functions = functions
        self.tokens = tokens(source)
        self.index = 0
        self.variables = ["$"]
        self.depth = 0
        self.loops = 0

    def error(self, token: Token, message: str) -> UsageError:
        return problem(self.source, token.at, message)

    def next(self) -> Token:
        token = self.tokens[self.index]
        self.index = min(self.index + 1, len(self.tokens) - 1)
        return token

    def peek(self) -> Token:
        return self.tokens[self.index]

    def skip_space(self) -> Token:
        """The next token that is no space, not taken yet."""
        while self.peek().kind == "space":
            self.next()
        return self.peek()

    def nodes(self) -> tuple[tuple[Node, ...], Token]:
        """Nodes up to `{{end}}`, `{{else` or the end, with the token that ended them."""
        found: list[Node] = []
        self._enter(self.peek())
        while True:
            token = self.next()
            if token.kind == "eof":
                break
            if token.kind == "text":
                found.append(Text(token.text))
                continue
            token = self.skip_space()
            if token.kind in ("end", "else"):
                self.next()
                break
            found.append(self._action(token))
        self.depth -= 1
        return tuple(found), token

    def _action(self, token: Token) -> Node:
        match token.kind:
            case "if" | "with" | "range":
                self.next()
                return self._branch(token.kind)
            case "break" | "continue":
                return self._jump(self.next())
            case "define" | "template" | "block":
                raise self.error(token, f"{{{{{token.kind}}}}} is not supported")
        return Action(self._pipe("command", "right"))

    def _jump(self, token: Token) -> Jump:
        if not self.loops:
            raise self.error(token, f"{{{{{token.kind}}}}} outside {{{{range}}}}")
        self._close(f"{{{{{token.kind}}}}}")
        return Jump(token.kind)

    def _branch(self, kind: str) -> Branch:
        known = len(self.variables)
        pipe = self._pipe(kind, "right")
        self.loops += kind == "range"
        body, closing = self.nodes()
        self.loops -= kind == "range"
        otherwise: tuple[Node, ...] = ()
        if closing.kind == "else":
            otherwise, closing = self._else(kind)
        elif closing.kind == "end":
            self._close("end")
        if closing.kind == "eof":
            raise self.error(closing, "unexpected EOF")
        del self.variables[known:]
        return Branch(kind, pipe, body, otherwise)

    def _else(self, kind: str) -> tuple[tuple[Node, ...], Token]:
        """What follows `{{else`: a chained `if` or `with`, or nodes and `{{end}}`."""
        token = self.skip_space()
        if token.kind == kind and kind in ("if", "with"):
            self.next()
            # the chained branch takes the one {{end}} of both
            return (self._branch(kind),), token
        self._close("else")
        nodes, closing = self.nodes()
        if closing.kind == "else":
            raise self.error(closing, "expected end; found {{else}}")
        if closing.kind == "end":
            self._close("end")
        return nodes, closing

    def _close(self, context: str) -> None:
        token = self.skip_space()
        if token.kind != "right":
            raise self._unexpected(token, "input" if context == "else" else context)
        self.next()

    def _unexpected(self, token: Token, context: str) -> UsageError:
        shown = "EOF" if token.kind == "eof" else f"<{token.text}>"
        return self.error(token, f"unexpected {shown} in {context}")

    def _pipe(self, context: str, end: str) -> Pipe:
        start = self.skip_space()
        self._enter(start)
        variables, assigns = self._declarations(context)
        commands: list[Command] = []
        while (token := self.skip_space()).kind != end:
            if token.kind not in _OPERANDS:
                raise self._unexpected(token, context)
            commands.append(self._command())
        self._check(commands, token, context)
        self.next()
        self.depth -= 1
        if not assigns:
            self.variables += variables
        return Pipe(start.at, variables, assigns, tuple(commands))

    def _enter(self, token: Token) -> None:
        self.depth += 1
        if self.depth > _DEPTH_MAX:
            raise self.error(token, "nested too deeply")

    def _check(self, commands: list[Command], token: Token, context: str) -> None:
        if not commands:
            raise self.error(token, f"missing value for {context}")
        for stage, command in enumerate(commands[1:], start=2):
            if isinstance(command.words[0], Literal | Dot):
                raise self.error(token, f"non executable command in pipeline stage {stage}")

    def _declarations(self, context: str) -> tuple[tuple[str, ...], bool]:
        names: list[str] = []
        while self.skip_space().kind == "variable":
            before = self.index
            token = self.next()
            follower = self.skip_space()
            if follower.kind in ("declare", "assign") or (follower.kind == "comma" and context == "range"):
                self.next()
                names.append(token.text)
            else:
                self.index = before
                break
            if len(names) > (2 if context == "range" else 1):
                raise self.error(token, f"too many declarations in {context}")
            if follower.kind != "comma":
                if follower.kind == "assign":
                    for name in names:
                        self._known(name, token)
                return tuple(names), follower.kind == "assign"
        if names:
            raise self._unexpected(self.peek(), context)
        return (), False

    def _command(self) -> Command:
        start = self.skip_space()
        words: list[Operand] = []
        while True:
            self.skip_space()
            if (operand := self._operand()) is not None:
                words.append(operand)
            token = self.peek()
            if token.kind == "space":
                continue
            if token.kind == "pipe":
                self.next()
                if self.skip_space().kind in ("right", "rparen"):
                    raise self.error(token, "missing value for command")
                break
            if token.kind in ("right", "rparen"):
                break
            raise self._unexpected(token, "operand")
        if not words:
            raise self.error(start, "empty command")
        return Command(start.at, tuple(words))

    def _operand(self) -> Operand | None:
        token = self.peek()
        if token.kind not in _OPERANDS:
            return None
        self.next()
        node = self._term(token)
        if self.peek().kind != "field":
            if self.peek().kind == "dot" and isinstance(node, Dot):
                raise self.error(token, 'unexpected . after term "."')
            return node
        at = self.peek().at
        names: list[str] = []
        while self.peek().kind == "field":
            names.append(self.next().text[1:])
        return self._chained(node, at, tuple(names), token)

    def _chained(self, node: Operand, at: int, names: tuple[str, ...], token: Token) -> Operand:
        match node:
            case Field():
                return Field(at, (*node.names, *names))
            case Variable():
                return Variable(at, node.name, names)
            case Pipe():
                return Chain(at, node, names)
        raise self.error(token, f'unexpected . after term "{node}"')

    def _term(self, token: Token) -> Operand:
        match token.kind:
            case "identifier":
                if token.text not in self.functions:
                    raise self.error(token, f'function "{token.text}" not defined')
                return Function(token.at, token.text)
            case "dot":
                return Dot(token.at)
            case "field":
                return Field(token.at, (token.text[1:],))
            case "variable":
                return Variable(token.at, self._known(token.text, token))
            case "lparen":
                return self._pipe("parenthesized pipeline", "rparen")
        return Literal(token.at, token.text, self._constant(token))

    def _known(self, name: str, token: Token) -> str:
        if name not in self.variables:
            raise self.error(token, f'undefined variable "{name}"')
        return name

    def _constant(self, token: Token) -> Any:
        text = token.text
        match token.kind:
            case "bool":
                return text == "true"
            case "nil":
                return None
            case "raw":
                return text[1:-1]
            case "string":
                return self._unquoted(token)
            case "char":
                character = self._unquoted(token)
                if len(character) != 1:
                    raise self.error(token, f"malformed character constant: {text}")
                return ord(character)
        return self._number(token)

    def _number(self, token: Token) -> int | float:
        text = token.text
        try:
            if re.match(r"[+-]?0[xXbBoO]", text):
                return int(text, 0)
            if re.search(r"[.eE]", text):
                return float(text)
            return int(text, 8 if re.fullmatch(r"[+-]?0[0-9_]+", text) else 10)
        except (ValueError, OverflowError):
            raise self.error(token, f'bad number syntax: "{text}"') from None

    def _unquoted(self, token: Token) -> str:
        def one(match: re.Match[str]) -> str:
            if match[6] is not None:
                raise self.error(token, "invalid syntax")
            if match[5]:
                return _ESCAPES.get(match[5], match[5])
            code = int(match[1] or match[2] or match[3], 16) if not match[4] else int(match[4], 8)
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise self.error(token, "invalid syntax")
            return chr(code)

        return _ESCAPE.sub(one, token.text[1:-1])
