"""The options of build that have a form of their own: secrets, agents, contexts, outputs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from devbox.errors import NotFoundError, UsageError
from devbox.model.mount_parse import fields
from devbox.model.reference import parse_tagged

_SECRET_MAX = 500 << 10
_SECRET_KEYS = {"id": "id", "src": "src", "source": "src", "env": "env", "type": "type"}
_IMAGE = "docker-image://"


OF_IMAGES = ("image", "docker", "oci")
"""kinds of output that make an image, too"""


class Output(NamedTuple):
    """One --output."""

    kind: str
    """local, tar, oci, docker or image"""
    dest: str = ""
    """absolute path; "-" for stdout"""
    names: tuple[str, ...] = ()


def pairs(texts: Iterable[str], option: str) -> dict[str, str]:
    """KEY=VALUE, later ones over earlier ones."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageError(f"invalid {option} {text!r}", hint=f"write {option} KEY=VALUE")
        found[key] = value
    return found


def arguments(texts: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """--build-arg: a bare name is taken from the caller's variables, and left out where it is not set there."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name:
            raise UsageError(f"invalid --build-arg {text!r}", hint="write --build-arg NAME=VALUE")
        if equals:
            found[name] = value
        elif name in environ:
            found[name] = environ[name]
    if "SOURCE_DATE_EPOCH" not in found and environ.get("SOURCE_DATE_EPOCH"):
        found["SOURCE_DATE_EPOCH"] = environ["SOURCE_DATE_EPOCH"]
    return found


def secrets(texts: Iterable[str], environ: Mapping[str, str], cwd: str) -> dict[str, bytes]:
    """--secret id=ID[,src=FILE|,env=NAME]: their content by id."""
    found = {}
    for text in texts:
        values = _values(text, "--secret", _SECRET_KEYS)
        name = values.get("id") or os.path.basename(values.get("src", ""))
        if not name:
            raise UsageError(f"invalid --secret {text!r}: it has no id", hint="write --secret id=NAME,src=FILE")
        found[name] = _secret(values, name, environ, cwd)
    return found


def _secret(values: Mapping[str, str], name: str, environ: Mapping[str, str], cwd: str) -> bytes:
    variable = values.get("env") or ("" if values.get("src") else name)
    if values.get("type") == "env" and values.get("src"):
        variable = values["src"]
    if variable and (variable in environ or values.get("env") or values.get("type") == "env"):
        if variable not in environ:
            raise NotFoundError(f"the variable {variable} of the secret {name!r} is not set")
        return os.fsencode(environ[variable])
    path = os.path.join(cwd, values.get("src") or name)
    try:
        with open(path, "rb") as file:
            data = file.read(_SECRET_MAX + 1)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise NotFoundError(f"cannot read the secret {name!r} from {path}: {reason}") from error
    if len(data) > _SECRET_MAX:
        raise UsageError(f"the secret {name!r} is larger than {_SECRET_MAX >> 10} KiB")
    return data


def sockets(texts: Iterable[str], environ: Mapping[str, str], cwd: str) -> dict[str, str]:
    """--ssh default|ID[=SOCKET]: the agents' sockets by id."""
    found = {}
    for text in texts:
        name, _, path = text.partition("=")
        path = path or environ.get("SSH_AUTH_SOCK", "")
        if not path:
            raise NotFoundError(
                f"no SSH agent for --ssh {text}", hint="start one (eval $(ssh-agent)), or name a socket: ID=SOCKET"
            )
        path = os.path.join(cwd, path)
        if not os.path.exists(path):
            raise NotFoundError(f"the SSH agent's socket {path} does not exist")
        found[name or "default"] = path
    return found


def contexts(texts: Iterable[str], cwd: str) -> tuple[dict[str, str], dict[str, str]]:
    """--build-context NAME=SOURCE: directories by name, and images by name."""
    directories: dict[str, str] = {}
    images: dict[str, str] = {}
    for name, source in pairs(texts, "--build-context").items():
        if source.startswith(_IMAGE):
            images[name] = source.removeprefix(_IMAGE)
        elif "://" in source or source.startswith("git@"):
            directories[name] = source
        else:
            directories[name] = os.path.join(cwd, source)
    return directories, images


def outputs(texts: Iterable[str], cwd: str) -> list[Output]:
    """--output DIRECTORY, -, or type=TYPE,dest=PATH."""
    return [_output(text, cwd) for text in texts]


def _output(text: str, cwd: str) -> Output:
    if text == "-":
        return Output("tar", "-")
    if "=" not in text:
        return Output("local", os.path.join(cwd, text))
    values = _values(text, "--output", {"type": "type", "dest": "dest", "name": "name", "tar": "tar"})
    kind = values.get("type", "")
    known = ("local", "tar", "oci", "docker", "image")
    if kind not in known:
        raise UsageError(f"unknown output type {kind!r}", hint=f"it is one of {', '.join(known)}")
    if values.get("tar", "true") != "true":
        raise UsageError("only archives are written: tar=false is not supported")
    dest = values.get("dest", "")
    if kind == "local" and dest in ("", "-"):
        raise UsageError("--output type=local wants a directory", hint="write --output type=local,dest=DIRECTORY")
    if kind == "docker" and not dest:
        kind = "image"
    if dest != "-":
        dest = os.path.join(cwd, dest) if dest else "-"
    names = tuple(filter(None, values.get("name", "").split(",")))
    return Output(kind, dest, names)


class Cache(NamedTuple):
    """One --cache-from or --cache-to."""

    kind: str
    """local or registry"""
    place: str
    """a directory, or an image's name"""


def caches(texts: Iterable[str], option: str, cwd: str) -> tuple[Cache, ...]:
    """--cache-from, --cache-to: type=local,src=DIRECTORY (dest=), type=registry,ref=NAME, or a name alone."""
    return tuple(_cache(text, option, cwd) for text in texts)


def _cache(text: str, option: str, cwd: str) -> Cache:
    known = {"type": "type", "src": "place", "dest": "place", "ref": "ref", "mode": "mode"}
    values = _values(text, option, known) if "=" in text else {"type": "registry", "ref": text}
    kind = values.get("type", "")
    if kind == "local" and values.get("place"):
        return Cache("local", os.path.join(cwd, values["place"]))
    if kind == "registry" and values.get("ref"):
        parse_tagged(values["ref"])
        return Cache("registry", values["ref"])
    raise UsageError(
        f"{option} {text} is not supported: a cache is in a directory or a registry",
        hint=f"type=local,{'src' if option == '--cache-from' else 'dest'}=DIRECTORY, or type=registry,ref=NAME",
    )


def _values(text: str, option: str, known: Mapping[str, str]) -> dict[str, str]:
    values = {}
    for field in fields(text, f"{option} {text}"):
        key, equals, value = field.partition("=")
        if key not in known or not equals:
            raise UsageError(
                f"invalid {option} {text!r}: {field!r}", hint=f"the keys are {', '.join(dict.fromkeys(known))}"
            )
        values[known[key]] = value
    return values
