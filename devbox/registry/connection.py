"""One HTTP connection to a registry: TLS with the certificates of docker and podman, proxies, time limits."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import base64
import contextlib
import http.client
import os
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from devbox.errors import RegistryError, UsageError
from devbox.registry.places import is_loopback

CERTIFICATES = ("/etc/containers/certs.d", "/etc/docker/certs.d")
_TIMEOUT = 30.0
_PATIENCE_WITH_PUT = 10
_AGENT = "devbox"
_CUT = (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError)
Body = Callable[[], Iterable[bytes]]
"""makes the pieces of a request's body, anew for each attempt"""


class Link(NamedTuple):
    """What a connection is made of."""

    host: str
    tls: bool
    verified: bool
    """whether the certificate must be one that is trusted"""


class NoTlsError(RegistryError):
    """The registry answers without TLS where TLS was asked for."""


class BrokenError(Exception):
    """The line failed in a way that another attempt may mend."""


def timeout(environ: Mapping[str, str]) -> float:
    """Seconds without a byte after which a line counts as dead."""
    text = environ.get("DEVBOX_REGISTRY_TIMEOUT", "")
    try:
        seconds = float(text) if text else _TIMEOUT
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise UsageError(f"DEVBOX_REGISTRY_TIMEOUT is not a number of seconds: {text!r}")
    return seconds


class Connection:
    """Kept open from one request to the next, as long as the answers are read to their end."""

    def __init__(self, link: Link, environ: Mapping[str, str]) -> None:
        self.link = link
        self._environ = environ
        self._http: http.client.HTTPConnection | None = None

    def request(
        self, method: str, target: str, headers: Mapping[str, str], body: Body | bytes | None = None
    ) -> http.client.HTTPResponse:
        """Send a request and read the head of its answer.

        Raises BrokenError for what may go away, RegistryError for what will not.
        """
        for kept in (True, False) if self._http is not None else (False,):
            try:
                connection = self._http = self._http or self._connect()
                self._send(connection, method, target, headers, body)
                return self._answer(connection, method)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.close()
                if not (kept and isinstance(error, _CUT)):  # the server may have closed what was kept open
                    raise failure(self.link.host, error) from error
        raise AssertionError("the last attempt returns or raises")

    def _answer(self, connection: http.client.HTTPConnection, method: str) -> http.client.HTTPResponse:
        """The head of the answer, which may not drip in for ever; a PUT may have to move much in the registry."""
        seconds = timeout(self._environ) * (_PATIENCE_WITH_PUT if method == "PUT" else 1)
        connection.sock.settimeout(seconds)
        timer = threading.Timer(2 * seconds, _hang_up, (connection.sock,))
        timer.daemon = True
        timer.start()
        try:
            return connection.getresponse()
        finally:
            timer.cancel()

    def _send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: Body | bytes | None,
    ) -> None:
        whole = {"User-Agent": _AGENT, "Accept-Encoding": "identity", **headers}
        if callable(body):
            whole["Transfer-Encoding"] = "chunked"
            try:
                connection.request(method, target, body(), whole, encode_chunked=True)
            except (BrokenPipeError, ConnectionResetError):
                if connection.sock is None:
                    raise
                # it answered before it had read everything: that answer says why
        else:
            connection.request(method, target, body, whole)

    def _connect(self) -> http.client.HTTPConnection:
        seconds = timeout(self._environ)
        proxy = _proxy(self.link, self._environ)
        host = proxy.hostname if proxy and proxy.hostname else self.link.host
        port = (proxy.port or 80) if proxy else None
        if not self.link.tls:
            return http.client.HTTPConnection(host, port, timeout=seconds)
        context = _context(self.link)
        connection = http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
        if proxy:
            connection.set_tunnel(self.link.host, headers=_authorization(proxy))
        return connection

    def close(self) -> None:
        """Give the connection up; the next request makes another."""
        if self._http is not None:
            self._http.close()
            self._http = None


def _hang_up(line: socket.socket) -> None:
    with contextlib.suppress(OSError):  # it may be closed by now
        line.shutdown(socket.SHUT_RDWR)


def failure(host: str, error: Exception) -> BrokenError | RegistryError:
    """What an exception of sockets, TLS or HTTP means."""
    match error:
        case ssl.SSLError():
            return _of_tls(host, error)
        case socket.gaierror():
            return RegistryError(
                f"cannot find {host}: {(error.strerror or 'no address').lower()}",
                hint="check the name, and this machine's network",
            )
        case ConnectionRefusedError():
            return RegistryError(
                f"nothing answers at {host}: connection refused", hint="check the name and the port"
            )
        case TimeoutError():
            return BrokenError(f"{host} has stalled")
        case http.client.IncompleteRead() | ConnectionResetError() | BrokenPipeError():
            return BrokenError(f"{host} has cut the connection")
        case OSError():
            return BrokenError(f"cannot reach {host}: {os.strerror(error.errno or 0).lower()}")
    return RegistryError(f"{host} answers what is no HTTP", hint="is it a registry, and the port the right one?")


def _of_tls(host: str, error: ssl.SSLError) -> RegistryError:
    if isinstance(error, ssl.SSLCertVerificationError):
        return RegistryError(
            f"the certificate of {host} is not trusted: {error.verify_message}",
            hint=f"put the certificate of its authority into {CERTIFICATES[0]}/{host}/ca.crt, or use --insecure",
        )
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE"):
        return NoTlsError(
            f"{host} does not speak TLS",
            hint="use --insecure, or 'insecure = true' in a [[registry]] of /etc/containers/registries.conf",
        )
    return RegistryError(f"no TLS connection to {host}: {(error.reason or str(error)).lower().replace('_', ' ')}")


def _context(link: Link) -> ssl.SSLContext:
    # the authorities of this machine take 20 ms to load
    context = ssl.create_default_context() if link.verified else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not link.verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    for directory in (f"{parent}/{link.host}" for parent in CERTIFICATES):
        for name in sorted(os.listdir(directory)) if os.path.isdir(directory) else ():
            path = f"{directory}/{name}"
            try:
                if name.endswith(".crt"):
                    context.load_verify_locations(path)
                elif name.endswith(".cert"):
                    context.load_cert_chain(path, path.removesuffix(".cert") + ".key")
            except (ssl.SSLError, OSError) as error:
                raise UsageError(f"{path} cannot be used: {error}") from error
    return context


def _proxy(link: Link, environ: Mapping[str, str]) -> urllib.parse.SplitResult | None:
    """The proxy for a TLS host; plain registries are near and are asked directly."""
    text = environ.get("HTTPS_PROXY") or environ.get("https_proxy")
    if not text or not link.tls or is_loopback(link.host) or _is_excepted(link.host, environ):
        return None
    parsed = urllib.parse.urlsplit(text if "://" in text else f"http://{text}")
    if parsed.scheme != "http" or not parsed.hostname:
        raise UsageError("HTTPS_PROXY names no HTTP proxy", hint="write it as http://HOST:PORT")
    return parsed


def _is_excepted(host: str, environ: Mapping[str, str]) -> bool:
    name = host.rpartition(":")[0] or host
    excepted = (environ.get("NO_PROXY") or environ.get("no_proxy") or "").split(",")
    suffixes = [each.strip().lstrip("*").lstrip(".") for each in excepted if each.strip()]
    return any(suffix == "" or name == suffix or name.endswith("." + suffix) for suffix in suffixes)


def _authorization(proxy: urllib.parse.SplitResult) -> dict[str, str]:
    if not proxy.username:
        return {}
    known = f"{urllib.parse.unquote(proxy.username)}:{urllib.parse.unquote(proxy.password or '')}"
    return {"Proxy-Authorization": "Basic " + base64.b64encode(known.encode()).decode()}
