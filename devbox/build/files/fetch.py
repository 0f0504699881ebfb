"""Fetches a file from an HTTP server: bounded, checked against a digest, and never stalled for ever."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import email.utils
import http.client
import os
import queue
import re
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from devbox.build.files.giturl import shown
from devbox.build.files.selection import no_check
from devbox.errors import HostError, NotFoundError, RefusedError, UsageError
from devbox.image.tar.limits import GIB
from devbox.system.files import write_all

SIZE_MAX = 64 * GIB
_CHUNK = 1 << 18
_STALL_SECONDS = 60
_AHEAD = 8
"""pieces that are received before they are written"""
_LOOK_SECONDS = 0.1
_REDIRECTS_MAX = 10
_DIGEST = re.compile(r"(sha256|sha384|sha512):([0-9a-f]+)")
_DIGITS = {"sha256": 64, "sha384": 96, "sha512": 128}


class Fetched(NamedTuple):
    """What was written to a descriptor."""

    size: int
    digest: str
    """ "sha256:<64 hex>", or of the kind that was asked for"""
    modified: int | None
    """seconds since 1970, as the server says"""


class _End(NamedTuple):
    """What the server said of a file that has come."""

    promised: str
    modified: str


_Part = bytes | _End | BaseException


def check_digest(text: str) -> str:
    """A --checksum as it is; UsageError for what is none."""
    match = _DIGEST.fullmatch(text)
    if not match or len(match[2]) != _DIGITS[match[1]]:
        raise UsageError(f"invalid checksum {text!r}", hint="write sha256: and 64 hex digits")
    return text


def file_name(url: str) -> str:
    """What a fetched file is called: the last part of its path."""
    name = unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
    return name if name not in ("", ".", "..") and "/" not in name and "\0" not in name else "__unnamed__"


def fetch(
    url: str, fd: int, *, checksum: str = "", check: Callable[[], None] = no_check, limit: int = SIZE_MAX
) -> Fetched:
    """Write what a URL gives to a descriptor.

    Raises NotFoundError for what the server does not have, HostError when it cannot be reached or breaks off,
    RefusedError for a wrong digest, for more than `limit` bytes, and for a redirect that leads to no HTTP server.
    """
    import hashlib

    hasher = hashlib.new(checksum.partition(":")[0] or "sha256")
    size = 0
    parts: queue.Queue[_Part] = queue.Queue(_AHEAD)
    threading.Thread(target=_receive, args=(url, parts), daemon=True).start()
    try:
        while not isinstance(part := _next(parts, check), _End):
            size += len(part)
            if size > limit:
                raise RefusedError(f"{shown(url)} has more than {limit} bytes")
            hasher.update(part)
            write_all(fd, part)
    except urllib.error.HTTPError as error:
        raise _answered(url, error) from error
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise _unreachable(url, error) from error
    if part.promised.isdigit() and int(part.promised) != size:
        raise HostError(f"{shown(url)} ended after {size} of {part.promised} bytes", hint="try again")
    digest = f"{hasher.name}:{hasher.hexdigest()}"
    if checksum and digest != checksum:
        raise RefusedError(f"digest mismatch for {shown(url)}: got {digest}, expected {checksum}")
    return Fetched(size, digest, _moment(part.modified))


def _receive(url: str, parts: queue.Queue[_Part]) -> None:
    """What a thread does that nobody waits for, so that a server which stalls delays no stop."""
    try:
        with _opener().open(_request(url), timeout=_STALL_SECONDS) as answer:
            while data := answer.read(_CHUNK):
                parts.put(data)
            parts.put(_End(answer.headers.get("Content-Length", ""), answer.headers.get("Last-Modified", "")))
    except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
        parts.put(error)


def _next(parts: queue.Queue[_Part], check: Callable[[], None]) -> bytes | _End:
    while True:
        check()
        try:
            part = parts.get(timeout=_LOOK_SECONDS)
        except queue.Empty:
            continue
        if isinstance(part, BaseException):
            raise part
        return part


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = _REDIRECTS_MAX

    def redirect_request(self, *args: object) -> urllib.request.Request | None:
        """Follow only what is HTTP, and never from HTTPS to plain HTTP."""
        request, newurl = args[0], str(args[5])
        assert isinstance(request, urllib.request.Request)
        scheme = urlsplit(newurl).scheme.lower()
        if scheme not in ("http", "https") or (scheme == "http" and request.type == "https"):
            raise RefusedError(f"{shown(request.full_url)} redirects to {shown(newurl)}, which is not followed")
        return super().redirect_request(*args)  # type: ignore[arg-type]


def _opener() -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=ssl.create_default_context()),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


def _request(url: str) -> urllib.request.Request:
    if urlsplit(url).scheme.lower() not in ("http", "https") or not urlsplit(url).hostname:
        raise UsageError(f"invalid URL {shown(url)}", hint="it begins with http:// or https://")
    return urllib.request.Request(url, headers={"User-Agent": "devbox", "Accept-Encoding": "identity"})


def _answered(url: str, error: urllib.error.HTTPError) -> NotFoundError | HostError:
    error.close()
    if error.code in (404, 410):
        return NotFoundError(f"{shown(url)}: not found (status {error.code})")
    return HostError(f"cannot fetch {shown(url)}: status {error.code} {error.reason}")


def _unreachable(url: str, error: Exception) -> HostError:
    reason = getattr(error, "reason", None) or error
    if isinstance(reason, TimeoutError):
        return HostError(f"cannot fetch {shown(url)}: nothing came for {_STALL_SECONDS} s")
    if isinstance(reason, OSError) and reason.errno and reason.errno > 0:
        return HostError(f"cannot fetch {shown(url)}: {os.strerror(reason.errno).lower()}")
    return HostError(f"cannot fetch {shown(url)}: {reason}")


def _moment(text: str) -> int | None:
    try:
        return int(email.utils.parsedate_to_datetime(text).timestamp()) if text else None
    except (ValueError, OverflowError):
        return None
