"""Instructions as written -> instructions with a type, their flags and words checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from devbox.build.language import split
from devbox.build.language.flags import Flags, Kind, mistake
from devbox.build.language.instructions import (
    Add,
    Arg,
    Cmd,
    Command,
    Copy,
    Document,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Pair,
    Run,
    Shell,
    Stopsignal,
    Typed,
    User,
    Volume,
    Workdir,
)
from devbox.build.language.runmounts import read_mount
from devbox.build.language.suggest import did_you_mean
from devbox.build.language.syntax import Instruction
from devbox.errors import UsageError
from devbox.model.container import HealthCheck
from devbox.model.values_parse import parse_duration

_STAGE_NAME = re.compile(r"[a-z][a-z0-9-_.]*")
_ONBUILD = re.compile(r"onbuild\s*", re.IGNORECASE)
_NETWORKS = ("default", "none", "host")
_SECURITIES = ("sandbox", "insecure")


def typed(instruction: Instruction) -> Typed:
    """Raises DockerfileError for unknown instructions and flags, and for too few or too many words."""
    reader = _READERS.get(instruction.keyword)
    if reader is None:
        names = [keyword.upper() for keyword in split.KEYWORDS]
        hint = did_you_mean(instruction.spelled.upper(), names, f"the instructions are {', '.join(names)}")
        raise mistake(instruction, f"unknown instruction: {instruction.spelled}", hint)
    if "\0" in "".join(instruction.words) or any("\0" in (value or "") for _, value in instruction.flags):
        raise mistake(instruction, "a word has a NUL character, which no program and no file name can have")
    return reader(instruction)


def _arity(instruction: Instruction, *, exactly_one: bool = False) -> None:
    count = len(instruction.words)
    if count == 0 or (exactly_one and count != 1):
        many = "exactly one argument" if exactly_one else "at least one argument"
        raise mistake(instruction, f"{instruction.keyword.upper()} requires {many}")


def _no_flags(instruction: Instruction) -> None:
    Flags(instruction, {})


def _from(instruction: Instruction) -> From:
    words = instruction.words
    flags = Flags(instruction, {"platform": "text"})
    if len(words) == 1:
        return From(instruction, words[0], "", flags.text("platform"))
    if len(words) != 3 or words[1].lower() != "as":
        raise mistake(
            instruction, "FROM requires either one or three arguments", "write FROM IMAGE or FROM IMAGE AS NAME"
        )
    name = words[2].lower()
    if not _STAGE_NAME.fullmatch(name):
        raise mistake(
            instruction,
            f"invalid name for build stage: {words[2]!r}",
            "a name begins with a letter and has letters, digits, '-', '_' and '.'",
        )
    return From(instruction, words[0], name, flags.text("platform"))


def _command(instruction: Instruction, words: tuple[str, ...]) -> Command:
    return Command(words, shell=not instruction.json)


def _run(instruction: Instruction) -> Run:
    kinds: Mapping[str, Kind] = {
        "mount": "many",
        "network": "text",
        "security": "text",
        "device": "many",
    }
    flags = Flags(instruction, kinds)
    network = flags.text("network", "default")
    if network not in _NETWORKS:
        raise mistake(instruction, f"invalid network mode {network!r}", f"it is one of {', '.join(_NETWORKS)}")
    security = flags.text("security", "sandbox")
    if security not in _SECURITIES:
        raise mistake(instruction, f"security {security!r} is not valid", f"it is {' or '.join(_SECURITIES)}")
    mounts = flags.many("mount")
    for mount in mounts:
        _check_mount(instruction, mount)
    return Run(
        instruction,
        _command(instruction, instruction.words),
        instruction.heredocs,
        mounts,
        (),
        network,
        security,
        flags.many("device"),
    )


def _check_mount(instruction: Instruction, text: str) -> None:
    try:
        read_mount(text, None)
    except UsageError as error:
        raise mistake(instruction, error.message, error.hint) from error


def _places(instruction: Instruction) -> tuple[tuple[str, ...], tuple[Document, ...], str]:
    """Sources, heredocs and destination of COPY and ADD."""
    keyword = instruction.keyword.upper()
    if len(instruction.words) < 2:
        raise mistake(
            instruction,
            f"{keyword} requires at least two arguments, but only {len(instruction.words)} was provided: "
            "destination could not be determined",
            f"write {keyword} SOURCE DESTINATION",
        )
    *sources, destination = instruction.words
    contents = {heredoc.name: heredoc for heredoc in instruction.heredocs}
    if contents and split.heredoc(destination):
        raise mistake(instruction, f"{keyword} cannot accept a heredoc as a destination")
    places: list[str] = []
    documents: list[Document] = []
    for source in sources:
        announced = split.heredoc(source)
        if announced is None or announced.name not in contents:
            places.append(source)
            continue
        documents.append(Document(announced.name, contents[announced.name].text, announced.expand))
    return tuple(places), tuple(documents), destination


def _copy(instruction: Instruction) -> Copy:
    sources, documents, destination = _places(instruction)
    kinds: Mapping[str, Kind] = {
        "from": "text",
        "chown": "text",
        "chmod": "text",
        "link": "switch",
        "parents": "switch",
        "exclude": "many",
    }
    flags = Flags(instruction, kinds)
    if "$" in flags.text("from")[:-1]:
        raise mistake(
            instruction,
            "'from' doesn't support variable expansion",
            "define a stage for it: FROM ${...} AS NAME, and --from=NAME",
        )
    return Copy(
        instruction,
        sources,
        documents,
        destination,
        from_=flags.text("from"),
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.switch("link") or False,
        parents=flags.switch("parents") or False,
        excludes=flags.many("exclude"),
    )


def _add(instruction: Instruction) -> Add:
    sources, documents, destination = _places(instruction)
    kinds: Mapping[str, Kind] = {
        "chown": "text",
        "chmod": "text",
        "link": "switch",
        "exclude": "many",
        "checksum": "text",
        "keep-git-dir": "switch",
        "unpack": "switch",
    }
    flags = Flags(instruction, kinds)
    return Add(
        instruction,
        sources,
        documents,
        destination,
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.switch("link") or False,
        excludes=flags.many("exclude"),
        checksum=flags.text("checksum"),
        keep_git_dir=flags.switch("keep-git-dir"),
        unpack=flags.switch("unpack"),
    )


def _pairs(instruction: Instruction) -> tuple[Pair, ...]:
    _no_flags(instruction)
    _arity(instruction)
    words = instruction.words
    pairs = tuple(Pair(words[at], words[at + 1], legacy=not words[at + 2]) for at in range(0, len(words), 3))
    if not all(pair.name for pair in pairs):
        raise mistake(instruction, f"{instruction.keyword.upper()} names can not be blank")
    return pairs


def _env(instruction: Instruction) -> Env:
    return Env(instruction, _pairs(instruction))


def _label(instruction: Instruction) -> Label:
    return Label(instruction, _pairs(instruction))


def _arg(instruction: Instruction) -> Arg:
    _no_flags(instruction)
    _arity(instruction)
    args = []
    for word in instruction.words:
        name, equals, value = word.partition("=")
        if not name:
            raise mistake(instruction, "ARG names can not be blank", "write ARG NAME or ARG NAME=default")
        args.append((name, value if equals else None))
    return Arg(instruction, tuple(args))


def _one(instruction: Instruction) -> str:
    _no_flags(instruction)
    _arity(instruction, exactly_one=True)
    return instruction.words[0]


def _stopsignal(instruction: Instruction) -> Stopsignal:
    _arity(instruction, exactly_one=True)
    return Stopsignal(instruction, instruction.words[0])


def _expose(instruction: Instruction) -> Expose:
    _no_flags(instruction)
    _arity(instruction)
    return Expose(instruction, tuple(sorted(instruction.words)))


def _volume(instruction: Instruction) -> Volume:
    _no_flags(instruction)
    _arity(instruction)
    paths = tuple(word.strip() for word in instruction.words)
    if not all(paths):
        raise mistake(instruction, "VOLUME specified can not be an empty string")
    return Volume(instruction, paths)


def _cmd(instruction: Instruction) -> Cmd:
    _no_flags(instruction)
    return Cmd(instruction, _command(instruction, instruction.words))


def _entrypoint(instruction: Instruction) -> Entrypoint:
    _no_flags(instruction)
    return Entrypoint(instruction, _command(instruction, instruction.words))


def _shell(instruction: Instruction) -> Shell:
    _no_flags(instruction)
    _arity(instruction)
    if not instruction.json:
        raise mistake(
            instruction, "SHELL requires the arguments to be in JSON form", 'write SHELL ["/bin/bash", "-c"]'
        )
    return Shell(instruction, instruction.words)


def _healthcheck(instruction: Instruction) -> Healthcheck:
    _arity(instruction)
    kind, *words = instruction.words
    kind = kind.upper()
    if kind == "NONE":
        if words:
            raise mistake(instruction, "HEALTHCHECK NONE takes no arguments")
        return Healthcheck(instruction, HealthCheck(("NONE",)))
    names: tuple[str, ...] = ("interval", "timeout", "start-period", "start-interval", "retries")
    flags = Flags(instruction, dict.fromkeys(names, "text"))
    if kind != "CMD":
        raise mistake(instruction, f"unknown type {kind!r} in HEALTHCHECK (try CMD)")
    if not words:
        raise mistake(instruction, "missing command after HEALTHCHECK CMD")
    times = {name: _time(instruction, flags, name) for name in names[:-1]}
    standard = HealthCheck(())
    health = HealthCheck(
        ("CMD" if instruction.json else "CMD-SHELL", *words),
        interval=times["interval"] or standard.interval,
        timeout=times["timeout"] or standard.timeout,
        start_period=times["start-period"],
        retries=_retries(instruction, flags.text("retries")) or standard.retries,
    )
    return Healthcheck(instruction, health, times["start-interval"])


def _time(instruction: Instruction, flags: Flags, name: str) -> float:
    text = flags.text(name)
    if not text:
        return 0.0
    try:
        seconds = parse_duration(text, f"--{name}")
    except UsageError as error:
        raise mistake(instruction, error.message, error.hint) from error
    if 0 < seconds < 0.001:
        raise mistake(instruction, f"interval {name!r} cannot be less than 1ms")
    return seconds


def _retries(instruction: Instruction, text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,9}|", text):
        raise mistake(instruction, f"invalid --retries {text!r}", "write a number: --retries=3")
    if int(text or 0) < 0:
        raise mistake(instruction, f"--retries cannot be negative ({text})")
    return int(text or 0)


def _onbuild(instruction: Instruction) -> Onbuild:
    _arity(instruction)
    _no_flags(instruction)
    trigger = instruction.trigger
    keyword = trigger.spelled.upper() if trigger else ""
    if keyword == "ONBUILD":
        raise mistake(instruction, "chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if keyword in ("MAINTAINER", "FROM"):
        raise mistake(instruction, f"{keyword} isn't allowed as an ONBUILD trigger")
    expression = _ONBUILD.sub("", instruction.original, count=1)
    for heredoc in instruction.heredocs:
        expression += f"\n{heredoc.content}{heredoc.name}"
    if trigger is not None:
        typed(trigger._replace(heredocs=instruction.heredocs))
    return Onbuild(instruction, expression)


_READERS: dict[str, Callable[[Instruction], Typed]] = {
    "add": _add,
    "arg": _arg,
    "cmd": _cmd,
    "copy": _copy,
    "entrypoint": _entrypoint,
    "env": _env,
    "expose": _expose,
    "from": _from,
    "healthcheck": _healthcheck,
    "label": _label,
    "maintainer": lambda instruction: Maintainer(instruction, _one(instruction)),
    "onbuild": _onbuild,
    "run": _run,
    "shell": _shell,
    "stopsignal": _stopsignal,
    "user": lambda instruction: User(instruction, _one(instruction)),
    "volume": _volume,
    "workdir": lambda instruction: Workdir(instruction, _one(instruction)),
}
