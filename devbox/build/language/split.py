"""One logical line of a Dockerfile -> keyword, flags and words. Each instruction splits in its own way."""

import json
import re
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from devbox.build.language.syntax import Heredoc
from devbox.build.language.words import Mode, WordError, expand_words
from devbox.errors import UsageError
from devbox.model.ignore import SPACE

_BLANKS = re.compile(r"[\t\v\f\r ]+")
_HEREDOC = re.compile(r"([0-9]*)<<(-?)[\t\n\f\r ]*([^<]*)")
_RAW = Mode(raw_quotes=True, raw_escapes=True, keep_unset=True)
_QUOTED = Mode(raw_quotes=True, keep_unset=True)
_UNQUOTED = Mode(keep_unset=True)


class SplitError(UsageError):
    """A line whose words cannot be told apart."""


class Arguments(NamedTuple):
    """What follows the flags."""

    words: tuple[str, ...] = ()
    json: bool = False


def command(line: str, escape: str) -> tuple[str, tuple[str, ...], str]:
    """Keyword, flags and rest of a line."""
    keyword, *rest = _BLANKS.split(line.strip(SPACE), maxsplit=1)
    if not rest:
        return keyword, (), ""
    flags, text = _flags(rest[0], escape)
    return keyword, flags, text.strip(SPACE)


def _flags(text: str, escape: str) -> tuple[tuple[str, ...], str]:
    """The words in front that start with "--", unquoted; a bare "--" ends them and is dropped."""
    flags: list[str] = []
    position = 0
    while True:
        while position < len(text) and text[position] in SPACE:
            position += 1
        if not text.startswith("--", position):
            return tuple(flags), text[position:]
        word, position = _flag(text, position, escape)
        if word == "--":
            return tuple(flags), text[position:]
        flags.append(word)


def _flag(text: str, position: int, escape: str) -> tuple[str, int]:
    word: list[str] = []
    quote = ""
    while position < len(text) and (quote or text[position] not in SPACE):
        char = text[position]
        position += 1
        if char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        elif char == escape:
            word.append(text[position : position + 1])
            position += 1
        else:
            word.append(char)
    return "".join(word), min(position, len(text))


def arguments(keyword: str, text: str, escape: str) -> Arguments:
    """The words after an instruction's flags. Raises SplitError."""
    return _SPLITTERS.get(keyword, _nothing)(text, escape)


def _nothing(text: str, escape: str) -> Arguments:
    return Arguments()


def _whole(text: str, escape: str) -> Arguments:
    return Arguments((text,) if text else ())


def _by_blanks(text: str, escape: str) -> Arguments:
    return Arguments(tuple(_BLANKS.split(text)) if text else ())


def _json_or_whole(text: str, escape: str) -> Arguments:
    return _json(text) or _whole(text, escape)


def _json_or_blanks(text: str, escape: str) -> Arguments:
    return _json(text) or _by_blanks(text, escape)


def _json(text: str) -> Arguments | None:
    """A JSON list of strings; None for what is no JSON list and so a shell's line."""
    text = text.lstrip(SPACE)
    if not text.startswith("["):
        return None
    try:
        values = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(value, str) for value in values):
        raise SplitError(
            "when using JSON array syntax, arrays must be comprised of strings only",
            hint='write each word in double quotes: ["echo", "1"]',
        )
    return Arguments(tuple(_whole_characters(value) for value in values), json=True)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)  # Python reads NaN and Infinity, which JSON does not have


def _whole_characters(text: str) -> str:
    r"""A lone "\ud800" has no character, as Go reads it."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def _health(text: str, escape: str) -> Arguments:
    if not text:
        return Arguments()
    kind, *rest = re.split(f"[{SPACE}]+", text, maxsplit=1)
    words, is_json = _json_or_whole(rest[0] if rest else "", escape)
    return Arguments((kind, *words), is_json)


def _args(text: str, escape: str) -> Arguments:
    return Arguments(tuple(quoted_words(text, escape)))


def _pairs(name: str) -> Callable[[str, str], Arguments]:
    """ENV and LABEL: `NAME=value ...`, or the old `NAME the rest of the line`; three words for each pair."""

    def split(text: str, escape: str) -> Arguments:
        words = quoted_words(text, escape)
        if not words:
            return Arguments()
        if "=" not in words[0]:
            parts = _BLANKS.split(text, maxsplit=1)
            if len(parts) < 2:
                raise SplitError(f"{name} must have two arguments", hint=f"write {name} {words[0]}=value")
            return Arguments((parts[0], parts[1], ""))
        triples: list[str] = []
        for word in words:
            key, equals, value = word.partition("=")
            if not equals:
                raise SplitError(
                    f"syntax error: can't find = in {word!r}, must be of the form: name=value",
                    hint='put a value with blanks in double quotes: name="a b"',
                )
            triples += (key, value, "=")
        return Arguments(tuple(triples))

    return split


_SPLITTERS: dict[str, Callable[[str, str], Arguments]] = {
    "add": _json_or_blanks,
    "arg": _args,
    "cmd": _json_or_whole,
    "copy": _json_or_blanks,
    "entrypoint": _json_or_whole,
    "env": _pairs("ENV"),
    "expose": _by_blanks,
    "from": _by_blanks,
    "healthcheck": _health,
    "label": _pairs("LABEL"),
    "maintainer": _whole,
    "onbuild": _whole,
    "run": _json_or_whole,
    "shell": _json_or_whole,
    "stopsignal": _whole,
    "user": _whole,
    "volume": _json_or_blanks,
    "workdir": _whole,
}
KEYWORDS = tuple(_SPLITTERS)


def quoted_words(text: str, escape: str) -> list[str]:
    """Words separated by blanks that are neither quoted nor escaped; quotes and escapes stay in them.

    An escape character that ends the text is dropped.
    """
    words: list[str] = []
    word: list[str] = []
    quote = ""
    position = 0
    while position < len(text):
        char = text[position]
        position += 1
        if not quote and char in SPACE:
            if word:
                words.append("".join(word))
            word = []
            continue
        if char == escape and quote != "'":
            if position == len(text):
                break
            char += text[position]
            position += 1
        elif char == quote:
            quote = ""
        elif not quote and char in "'\"":
            quote = char
        word.append(char)
    return [*words, "".join(word)] if word else words


def heredoc(word: str) -> Heredoc | None:
    """What a word such as `<<EOT`, `<<-"EOT"` or `3<<EOT` announces, its content aside; None for any other."""
    match = _HEREDOC.fullmatch(word)
    if not match or not match[3]:
        return None
    unquoted = _split_name(match[3], _UNQUOTED)
    if len(unquoted) != 1:
        return None
    name = unquoted[0]
    (as_written,) = _split_name(match[3], _QUOTED)
    quoted = as_written.count("'") + as_written.count('"') != name.count("'") + name.count('"')
    return Heredoc(name, "", expand=not quoted, strip_tabs=bool(match[2]), descriptor=int(match[1] or 0))


def _split_name(text: str, mode: Mode) -> list[str]:
    try:
        return expand_words(text, _no_value, "\\", mode)
    except WordError as error:
        raise SplitError(f"the name of a heredoc is malformed: {error.message}") from error


def _no_value(name: str) -> None:
    return None


def heredocs(line: str) -> list[Heredoc]:
    """The heredocs that a line announces, in order."""
    try:
        words = expand_words(line, _no_value, "\\", _RAW)
    except WordError:
        return []  # a quote that is not closed is the shell's to complain about
    return [found for word in words if (found := heredoc(word)) is not None]
