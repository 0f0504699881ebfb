"""A Go template as tokens, by the rules of text/template."""

from __future__ import annotations

import re
from typing import NamedTuple

from devbox.errors import UsageError

_KEYWORDS = frozenset(("if", "else", "end", "range", "with", "break", "continue", "define", "template", "block"))
_BLANK = " \t\r\n"
_BLANKS = tuple(_BLANK)
_TOKEN = re.compile(
    r"""
      (?P<space>[ \t\r\n]+)
    | (?P<declare>:=) | (?P<assign>=) | (?P<pipe>\|) | (?P<lparen>\() | (?P<rparen>\)) | (?P<comma>,)
    | (?P<string>"(?:[^"\\\n]|\\[^\n])*")
    | (?P<raw>`[^`]*`)
    | (?P<char>'(?:[^'\\\n]|\\[^\n])*')
    | (?P<number>[+-]?(?:0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO][0-7_]+
        |(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9_]+)?))
    | (?P<variable>\$\w*)
    | (?P<field>\.[^\W\d]\w*)
    | (?P<dot>\.)
    | (?P<word>[^\W\d]\w*)
    """,
    re.VERBOSE,
)
_CLOSING = re.compile(r"(?:[ \t\r\n]+-)?\}\}")
_ENDS_A_NAME = frozenset((*_BLANK, ".", ",", "|", ":", ")", "(", "="))


class Token(NamedTuple):
    """One token; `text` as it was written."""

    kind: str
    at: int
    text: str


def problem(source: str, at: int, message: str) -> UsageError:
    """docker's message for a template that cannot be read."""
    line = source.count("\n", 0, at) + 1
    return UsageError(f"template: :{line}: {message}")


def tokens(source: str) -> list[Token]:
    """The whole template, ended by an `eof` token."""
    found: list[Token] = []
    at = 0
    while (start := source.find("{{", at)) >= 0:
        text = source[at:start]
        inside = start + 2
        if source.startswith("-", inside) and source[inside + 1 : inside + 2] in _BLANKS:
            text = text.rstrip(_BLANK)
            inside += 2
        if text:
            found.append(Token("text", at, text))
        if source.startswith("/*", inside):
            at = _after_comment(source, inside)
        else:
            found.append(Token("left", start, "{{"))
            at = _action(source, inside, found)
        at = _trim_after(source, at)
    if source[at:]:
        found.append(Token("text", at, source[at:]))
    found.append(Token("eof", len(source), ""))
    return found


def _trim_after(source: str, at: int) -> int:
    """Skip blanks behind `-}}`."""
    if source[at - 3 : at] == "-}}" and source[at - 4] in _BLANK:
        while source[at : at + 1] in _BLANKS:
            at += 1
    return at


def _after_comment(source: str, at: int) -> int:
    end = source.find("*/", at)
    if end < 0:
        raise problem(source, at, "unclosed comment")
    closing = _CLOSING.match(source, end + 2)
    if closing is None:
        raise problem(source, at, "comment ends before closing delimiter")
    return closing.end()


def _action(source: str, at: int, found: list[Token]) -> int:
    """Append the tokens up to the closing delimiter and return the place behind it."""
    depth = 0
    while True:
        closing = _CLOSING.match(source, at)
        if closing:
            if depth:
                raise problem(source, at, "unclosed left paren")
            found.append(Token("right", at, "}}"))
            return closing.end()
        if at >= len(source):
            raise problem(source, at, "unclosed action")
        token = _token(source, at)
        depth += (token.kind == "lparen") - (token.kind == "rparen")
        if depth < 0:
            raise problem(source, at, "unexpected right paren")
        found.append(token)
        at += len(token.text)


def _token(source: str, at: int) -> Token:
    match = _TOKEN.match(source, at)
    if match is None or not match.lastgroup:
        raise problem(source, at, _unreadable(source, at))
    kind, text = match.lastgroup, match[0]
    follower = source[match.end() : match.end() + 1]
    is_name = kind in ("field", "variable", "word")
    if is_name and follower and follower not in _ENDS_A_NAME and not source.startswith("}}", match.end()):
        raise problem(source, at, f"bad character U+{ord(follower):04X} {follower!r}")
    if kind == "number" and (follower.isalnum() or follower == "_"):
        raise problem(source, at, f'bad number syntax: "{text}{follower}"')
    if kind == "word":
        kind = _word_kind(text)
    return Token(kind, at, text)


def _word_kind(text: str) -> str:
    if text in _KEYWORDS:
        return text
    return {"true": "bool", "false": "bool", "nil": "nil"}.get(text, "identifier")


def _unreadable(source: str, at: int) -> str:
    first = source[at]
    if first == '"':
        return "unterminated quoted string"
    if first == "`":
        return "unterminated raw quoted string"
    if first == "'":
        return "unterminated character constant"
    if first in "+-":
        return f'bad number syntax: "{source[at : at + 3]}"'
    if first == ":":
        return "expected :="
    return f"unrecognized character in action: U+{ord(first):04X} {first!r}"
