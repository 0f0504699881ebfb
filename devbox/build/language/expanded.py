"""Instructions with the values of their variables."""

from __future__ import annotations

import re
from collections.abc import Iterator

from devbox.build.language.flags import mistake
from devbox.build.language.instructions import (
    Add,
    Copy,
    Document,
    Env,
    Expose,
    Label,
    Pair,
    Run,
    Stopsignal,
    Typed,
    User,
    Volume,
    Workdir,
)
from devbox.build.language.runmounts import RunMount, read_mount
from devbox.build.language.syntax import Instruction
from devbox.build.language.words import Lookup, Mode, WordError, expand, expand_words
from devbox.errors import UsageError
from devbox.model.values_parse import parse_signal

_PLAIN = Mode(plain_quotes=True)
_PORT = re.compile(r"(?:(?P<host>.*):)?(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?(?:/(?P<protocol>[^/:]*))?")
_PROTOCOLS = ("tcp", "udp", "sctp")
_PORT_MAX = 65535


def expand_word(instruction: Instruction, word: str, lookup: Lookup, escape: str = "\\") -> str:
    """A word of an instruction: a default of ARG, the base of FROM. Raises DockerfileError."""
    try:
        return expand(word, lookup, escape)
    except WordError as error:
        raise mistake(instruction, error.message, error.hint) from error


def expanded(item: Typed, lookup: Lookup, escape: str = "\\") -> Typed:
    """The same instruction, what BuildKit expands expanded; all its variables have the values from before it.

    ARG and FROM stay as they are: see `expand_word`. Raises DockerfileError.
    """
    try:
        return _Expander(lookup, escape).expanded(item)
    except WordError as error:
        raise mistake(item.source, error.message, error.hint) from error


class _Expander:
    def __init__(self, lookup: Lookup, escape: str) -> None:
        self._lookup = lookup
        self._escape = escape

    def expanded(self, item: Typed) -> Typed:
        match item:
            case Env() | Label():
                return item._replace(pairs=tuple(self._pair(pair) for pair in item.pairs))
            case Copy() | Add():
                return self._places(item)
            case Workdir():
                return item._replace(path=self._word(item.path))
            case User():
                return item._replace(user=self._word(item.user))
            case Volume():
                return item._replace(paths=self._volumes(item))
            case Expose():
                return item._replace(ports=tuple(self._ports(item)))
            case Stopsignal():
                return item._replace(signal=self._signal(item))
            case Run():
                return item._replace(mounts=tuple(self._mounts(item)))
        return item

    def _word(self, word: str) -> str:
        return expand(word, self._lookup, self._escape)

    def _pair(self, pair: Pair) -> Pair:
        return pair._replace(name=self._word(pair.name), value=self._word(pair.value))

    def _places(self, item: Copy | Add) -> Copy | Add:
        placed = item._replace(
            sources=tuple(map(self._word, item.sources)),
            destination=self._word(item.destination),
            chown=self._word(item.chown),
            chmod=self._word(item.chmod),
            documents=tuple(map(self._document, item.documents)),
        )
        return placed._replace(checksum=self._word(placed.checksum)) if isinstance(placed, Add) else placed

    def _document(self, document: Document) -> Document:
        if not document.expand:
            return document
        return document._replace(content=expand(document.content, self._lookup, "\\", _PLAIN))

    def _volumes(self, item: Volume) -> tuple[str, ...]:
        paths = tuple(map(self._word, item.paths))
        if not all(paths):
            raise mistake(item.source, "VOLUME specified can not be an empty string")
        return paths

    def _signal(self, item: Stopsignal) -> str:
        signal = self._word(item.signal)
        try:
            parse_signal(signal)
        except UsageError as error:
            raise mistake(item.source, error.message, error.hint) from error
        return signal

    def _mounts(self, item: Run) -> Iterator[RunMount]:
        for text in item.raw_mounts:
            try:
                yield read_mount(text, self._word)
            except WordError:
                raise
            except UsageError as error:
                raise mistake(item.source, error.message, error.hint) from error

    def _ports(self, item: Expose) -> Iterator[str]:
        for word in item.ports:
            for text in expand_words(word, self._lookup, self._escape):
                yield from _exposed(item.source, text)


def _exposed(instruction: Instruction, text: str) -> Iterator[str]:
    """ "80", "80/udp", "8000-8010"; what stands before the last ":" means nothing to EXPOSE."""
    match = _PORT.fullmatch(text)
    if not match:
        raise mistake(instruction, f"invalid port: {text!r}", "write EXPOSE 80, 53/udp or 8000-8010")
    protocol = (match["protocol"] or "tcp").lower()
    if protocol not in _PROTOCOLS:
        raise mistake(instruction, f"invalid port: {text!r}", f"the protocol is one of {', '.join(_PROTOCOLS)}")
    first, last = int(match["first"]), int(match["last"] or match["first"])
    if not first <= last <= _PORT_MAX:
        raise mistake(instruction, f"invalid port: {text!r}", f"ports are 0 to {_PORT_MAX}, the lower one first")
    for number in range(first, last + 1):
        yield f"{number}/{protocol}"
