"""Names and passwords for registries, where docker and podman keep them: auth files and credential helpers."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import base64
import binascii
import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from devbox.errors import HostError, UsageError
from devbox.model.reference import DEFAULT_DOMAIN
from devbox.system import process
from devbox.system.files import write_atomic

_SIZE_MAX = 4 << 20
_HUB_KEY = "https://index.docker.io/v1/"
_HELPER = re.compile(r"[A-Za-z0-9_.-]+")
_TOKEN = "<token>"
_Document = dict[str, Any]


class Credentials(NamedTuple):
    """Who we are to a registry; a token instead of a password has no user."""

    user: str
    password: str

    @property
    def is_token(self) -> bool:
        """Whether the password is an OAuth2 refresh token."""
        return self.user == _TOKEN


def find(domain: str, path: str, environ: Mapping[str, str]) -> Credentials | None:
    """What is known for a repository: an entry for it, for what is above it, or for its registry."""
    for file in files(environ):
        document = _read(file)
        helper = _helper(document, domain)
        if helper and (found := _ask(helper, "get", _key(domain), environ)):
            return found
        for key in _keys(domain, path):
            if found := _entry(document, key, file):
                return found
    return None


def keep(domain: str, known: Credentials, environ: Mapping[str, str]) -> str:
    """Remember credentials in the first auth file or its helper; where that was."""
    file = files(environ)[0]
    document = _read(file)
    key = _key(domain)
    if helper := _helper(document, domain):
        secret = {"ServerURL": key, "Username": known.user, "Secret": known.password}
        _call(helper, "store", json.dumps(secret), environ)
        document.setdefault("auths", {})[key] = {}
        _write(file, document)
        return helper
    packed = base64.b64encode(f"{known.user}:{known.password}".encode()).decode()
    document.setdefault("auths", {})[key] = {"auth": packed}
    _write(file, document)
    return file


def forget(domain: str, environ: Mapping[str, str]) -> bool:
    """Remove what is known of a registry from every file; False when there was nothing."""
    found = False
    for file in files(environ):
        document = _read(file)
        auths = document.get("auths") or {}
        known = [key for key in _keys(domain, "") if key in auths]
        helper = _helper(document, domain)
        if helper and _ask(helper, "get", _key(domain), environ):
            _call(helper, "erase", _key(domain), environ)
            found = True
        for key in known:
            del auths[key]
        if known:
            _write(file, document)
            found = True
    return found


def files(environ: Mapping[str, str]) -> list[str]:
    """Auth files, the one that is written first."""
    if own := environ.get("REGISTRY_AUTH_FILE"):
        return [own]
    home = environ.get("HOME") or "/root"
    docker = environ.get("DOCKER_CONFIG") or f"{home}/.docker"
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.geteuid()}"
    podman = f"{runtime}/containers/auth.json" if environ.get("XDG_RUNTIME_DIR") else f"{runtime}/auth.json"
    return [f"{docker}/config.json", podman, f"{home}/.config/containers/auth.json"]


def _keys(domain: str, path: str) -> Iterator[str]:
    """Names of entries from the narrowest to that of the registry."""
    parts = path.split("/") if path else []
    for length in range(len(parts), 0, -1):
        yield "/".join((domain, *parts[:length]))
    if domain == DEFAULT_DOMAIN:
        yield from (_HUB_KEY, "index.docker.io", "https://index.docker.io/v1", DEFAULT_DOMAIN)
    else:
        for scheme in ("https://", "http://"):
            yield from (
                f"{scheme}{domain}/v2/",
                f"{scheme}{domain}/v1/",
                f"{scheme}{domain}",
                f"{scheme}{domain}/",
            )
        yield domain


def _key(domain: str) -> str:
    return _HUB_KEY if domain == DEFAULT_DOMAIN else domain


def _entry(document: _Document, key: str, file: str) -> Credentials | None:
    entry = (document.get("auths") or {}).get(key)
    if not isinstance(entry, dict):
        return None
    if isinstance(entry.get("identitytoken"), str) and entry["identitytoken"]:
        return Credentials(_TOKEN, entry["identitytoken"])
    if not entry.get("auth"):
        return None
    try:
        user, colon, password = base64.b64decode(str(entry["auth"]), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise UsageError(f"the entry of {key} in {file} is damaged", hint=f"log in again: devbox login {key}")
    return Credentials(user, password.rstrip("\0"))


def _read(file: str) -> _Document:
    try:
        with open(file, "rb") as opened_file:
            document = json.loads(opened_file.read(_SIZE_MAX))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except PermissionError as error:
        raise HostError(f"cannot read {file}", hint="it has the passwords of registries") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is not valid JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("auths") or {}, dict):
        raise UsageError(f"{file} is no auth file: it has no object 'auths'")
    return document


def _write(file: str, document: _Document) -> None:
    os.makedirs(os.path.dirname(os.path.abspath(file)), mode=0o700, exist_ok=True)
    write_atomic(os.path.realpath(file), json.dumps(document, indent="\t").encode() + b"\n")


def _helper(document: _Document, domain: str) -> str:
    """The program that keeps credentials, "" for none."""
    helpers = document.get("credHelpers")
    name = helpers.get(domain) or helpers.get(_key(domain)) if isinstance(helpers, dict) else None
    name = name or document.get("credsStore")
    return f"docker-credential-{name}" if isinstance(name, str) and _HELPER.fullmatch(name) else ""


def _ask(helper: str, verb: str, server: str, environ: Mapping[str, str]) -> Credentials | None:
    status, output = _run(helper, verb, server, environ)
    if status:
        return None  # it says so for a server that it does not know
    try:
        answer = json.loads(output)
        return Credentials(str(answer["Username"]), str(answer["Secret"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HostError(f"{helper} answered what is no credential") from error


def _call(helper: str, verb: str, text: str, environ: Mapping[str, str]) -> None:
    status, output = _run(helper, verb, text, environ)
    if status:
        raise HostError(f"{helper} {verb} failed: {output.decode(errors='replace').strip()[:200]}")


def _run(helper: str, verb: str, text: str, environ: Mapping[str, str]) -> process.Result:
    """Run a helper with the caller's environment; its messages go to the caller's stderr."""
    argv = (_located(helper, environ), verb)
    return process.run(argv, stdin=text.encode(), env=environ, errors=False, check=False)


def _located(helper: str, environ: Mapping[str, str]) -> str:
    for directory in (environ.get("PATH") or process.SEARCH_PATH).split(":"):
        path = f"{directory}/{helper}"
        if directory.startswith("/") and os.access(path, os.X_OK):
            return path
    raise HostError(f"{helper} is not installed", hint="the auth file names it as the keeper of passwords")
