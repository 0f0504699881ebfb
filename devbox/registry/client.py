"""A registry that is asked things: who we are, second attempts, answers that are bounded, errors in words."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import base64
import http.client
import json
import re
import time
import urllib.parse
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple, TypeVar

from devbox.errors import NotFoundError, RefusedError, RegistryError
from devbox.registry import challenge, credentials
from devbox.registry.connection import Body, BrokenError, Connection, Link, NoTlsError, failure, timeout
from devbox.registry.credentials import Credentials
from devbox.registry.places import Endpoint

_FRUITLESS_MAX = 3
_TRIES_MAX = 10
_PAUSES = (0.2, 0.5, 2.0)
_REDIRECTS = 5
_WAIT_MAX = 30.0
_TOKEN_MAX = 1 << 20
_ERROR_MAX = 1 << 16
_CHUNK = 1 << 20
_RATE_MIN = 512
"""bytes a second; what is slower for as long as the time-out counts as stalled"""


_Result = TypeVar("_Result")


class Answer(NamedTuple):
    """A small answer, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    data: bytes


class Asked(NamedTuple):
    """A request."""

    method: str
    target: str
    """path and query, or a whole URL"""
    headers: Mapping[str, str] = {}
    body: Body | bytes | None = None


class Client:
    """Speaks to one endpoint; not for two threads at once (see `twin`)."""

    def __init__(
        self,
        endpoint: Endpoint,
        environ: Mapping[str, str],
        *,
        actions: str = "pull",
        known: Credentials | None = None,
        scope: str = "",
    ) -> None:
        self.endpoint = endpoint
        self.environ = environ
        self._known = known
        own = f"repository:{endpoint.path}:{actions}" if endpoint.path else ""
        self._scopes = [each for each in (scope, own) if each]
        self._connections: dict[tuple[str, bool], Connection] = {}
        self._plain = False
        self._authorization = ""
        self._timeout = timeout(environ)

    def twin(self) -> Client:
        """Another one for another thread, that knows what this one has learned."""
        other = Client(self.endpoint, self.environ, known=self._known)
        other._scopes = [*self._scopes]
        other._plain, other._authorization = self._plain, self._authorization
        return other

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def ask(self, asked: Asked, *, expect: Collection[int] = (200,), most: int = _ERROR_MAX) -> Answer:
        """Send a request and read its answer of at most `most` bytes; tried again where that may help.

        Raises NotFoundError for 404, RegistryError for other statuses that are not expected.
        """
        return self.attempts(lambda: self._read_whole(asked, expect, most))

    def attempts(self, action: Callable[[], _Result], *, progress: Callable[[], int] = lambda: 0) -> _Result:
        """Do something until it does not break; RegistryError when it breaks too often.

        An attempt that came further than the one before it, as `progress` tells, may be followed by more of them.
        """
        tries = fruitless = 0
        while True:
            before = progress()
            try:
                return action()
            except BrokenError as error:
                tries += 1
                fruitless = 0 if progress() - before > _RATE_MIN * self._timeout else fruitless + 1
                if fruitless == _FRUITLESS_MAX or tries == _TRIES_MAX:
                    raise RegistryError(f"{error}", hint=f"it was tried {tries} times; try again later") from error
                time.sleep(min(_PAUSES[fruitless], self._timeout))

    def _read_whole(self, asked: Asked, expect: Collection[int], most: int) -> Answer:
        response = self.open(asked, expect)
        return Answer(response.status, response.headers, self.read(response, most))

    def read(self, response: http.client.HTTPResponse, most: int) -> bytes:
        """The whole body; RefusedError when it has more than `most` bytes."""
        parts: list[bytes] = []
        self.pour(response, parts.append, most)
        size = sum(map(len, parts))
        if size > most:
            self.close()
            raise RefusedError(f"{self.endpoint.host} answers with more than {most} bytes")
        return b"".join(parts)

    def pour(self, response: http.client.HTTPResponse, write: Callable[[bytes], object], most: int) -> None:
        """Pass a body on until it ends or has had more than `most` bytes; BrokenError when it stalls or is cut."""
        begun, window = time.monotonic(), 0
        try:
            while most >= 0 and (data := response.read1(_CHUNK)):
                write(data)
                most -= len(data)
                window += len(data)
                now = time.monotonic()
                if now - begun > self._timeout:
                    if window < _RATE_MIN * self._timeout:
                        raise TimeoutError
                    begun, window = now, 0
            if most >= 0 and response.length:  # what was announced and did not come
                raise http.client.IncompleteRead(b"", response.length)
            response.close()  # read1 does not notice the end, and the connection could not be used again
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise failure(self.endpoint.host, error) from error

    def open(self, asked: Asked, expect: Collection[int] = (200,)) -> http.client.HTTPResponse:
        """Send a request once, logging in where that is asked for, and read the head of the answer."""
        response = self._follow(asked)
        if response.status == 401 and self._log_in(response):
            response = self._follow(asked)
        if response.status in expect:
            return response
        raise self._unexpected(asked, response)

    def _follow(self, asked: Asked) -> http.client.HTTPResponse:
        """Follow redirects; to another host none of our secrets goes along."""
        target, headers = asked.target, dict(asked.headers)
        for _ in range(_REDIRECTS):
            response = self._send(asked._replace(target=target, headers=headers))
            if response.status not in (301, 302, 303, 307, 308) or asked.method not in ("GET", "HEAD"):
                return response
            self.read(response, _ERROR_MAX)
            target = self._joined(target, response.headers.get("Location", ""))
        raise RefusedError(f"{self.endpoint.host} redirects more than {_REDIRECTS} times")

    def _joined(self, target: str, location: str) -> str:
        """The URL that a Location means in the answer of a target."""
        base = f"{'http' if self._plain else 'https'}://{self.endpoint.host}" if target.startswith("/") else ""
        try:
            return urllib.parse.urljoin(base + target, location)
        except ValueError:
            raise self._astray(location) from None

    def _astray(self, location: str) -> RefusedError:
        return RefusedError(f"{self.endpoint.host} sends us to {location[:200]!r}, which is no address with TLS")

    def _send(self, asked: Asked) -> http.client.HTTPResponse:
        """Send a request to where its target says."""
        if asked.target.startswith("/"):
            headers = {**asked.headers, **self._authorized()}
            return self._at_home(asked._replace(headers=headers))
        url = _parsed(asked.target)
        tls = url is not None and url.scheme == "https"
        if url is None or not (tls or self.endpoint.insecure):
            raise self._astray(asked.target)
        target = urllib.parse.urlunsplit(("", "", url.path or "/", url.query, ""))
        home = same_place(url, self.endpoint.host) and tls != self._plain
        headers = {**asked.headers, **(self._authorized() if home else {})}
        connection = self._connection(url.netloc.rpartition("@")[2], tls=tls)
        return connection.request(asked.method, target, headers, asked.body)

    def _authorized(self) -> dict[str, str]:
        return {"Authorization": self._authorization} if self._authorization else {}

    def _at_home(self, asked: Asked) -> http.client.HTTPResponse:
        """Ask the endpoint itself; an insecure one that does not speak TLS is asked without."""
        host = self.endpoint.host
        if not self._plain:
            try:
                connection = self._connection(host, tls=True)
                return connection.request(asked.method, asked.target, asked.headers, asked.body)
            except (NoTlsError, BrokenError):
                if not self.endpoint.insecure:
                    raise
        connection = self._connection(host, tls=False)
        response = connection.request(asked.method, asked.target, asked.headers, asked.body)
        self._plain = True
        return response

    def _connection(self, host: str, *, tls: bool) -> Connection:
        known = self._connections.get((host, tls))
        if known is None:
            known = Connection(Link(host, tls, verified=not self.endpoint.insecure), self.environ)
            self._connections[host, tls] = known
        return known

    def _log_in(self, response: http.client.HTTPResponse) -> bool:
        """Do what a 401 asks for; False when that cannot change anything."""
        before = self._authorization
        challenges = challenge.parse(", ".join(response.headers.get_all("WWW-Authenticate") or ()))
        self.read(response, _ERROR_MAX)
        known = self._known or credentials.find(self.endpoint.domain, self.endpoint.path, self.environ)
        for each in challenges:
            if each.scheme == "bearer":
                self._authorization = "Bearer " + self._token(each.parameters, known)
                break
            if each.scheme == "basic" and known is not None and not known.is_token:
                self._authorization = _basic(known)
                break
        return self._authorization != before

    def _token(self, parameters: Mapping[str, str], known: Credentials | None) -> str:
        """A token of the authority that the registry names."""
        answer = self._of_authority(self._token_request(parameters, known))
        try:
            fields = json.loads(answer)
            token = fields.get("token") or fields["access_token"]
        except (ValueError, KeyError, AttributeError, RecursionError):
            token = None
        if not isinstance(token, str) or not token.isprintable() or not token.isascii():
            raise RegistryError(f"the authority of {self.endpoint.host} answers what is no token")
        return token

    def _token_request(self, parameters: Mapping[str, str], known: Credentials | None) -> Asked:
        realm = parameters.get("realm", "")
        scopes = self._scopes or [parameters.get("scope", "")]
        query = [("service", parameters.get("service", "")), *(("scope", scope) for scope in scopes)]
        query = [(key, value) for key, value in query if value]
        if known is not None and known.is_token:
            form = {**dict(query), "scope": " ".join(scopes), "refresh_token": known.password}
            form |= {"grant_type": "refresh_token", "client_id": "devbox"}
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            return Asked("POST", realm, kind, urllib.parse.urlencode(form).encode())
        joint = "&" if "?" in realm else "?"
        secret = {"Authorization": _basic(known)} if known else {}
        return Asked("GET", realm + joint + urllib.parse.urlencode(query), secret)

    def widen(self, path: str) -> None:
        """Have the next token let us read another repository, too."""
        scope = f"repository:{path}:pull"
        if self._authorization.startswith("Bearer ") and scope not in self._scopes:
            self._scopes.append(scope)
            self._authorization = ""

    def _of_authority(self, asked: Asked) -> bytes:
        response = self._send(asked)  # never redirected: the password is in it
        data = self.read(response, _TOKEN_MAX)
        if response.status == 200:
            return data
        if response.status in (400, 401, 403):
            raise self.denied()
        raise RegistryError(f"the authority of {self.endpoint.host} fails: status {response.status}")

    def denied(self) -> RegistryError:
        """The error of one who is not let in."""
        domain = self.endpoint.domain
        login = f"devbox login{'' if domain == 'docker.io' else ' ' + domain}"
        known = self._known or credentials.find(domain, self.endpoint.path, self.environ)
        if known is None:
            return RegistryError(
                f"{self.endpoint.host} lets nobody unknown at {self.endpoint.path or 'it'}",
                hint=f"log in with '{login}', or check the name: some registries say this of what there is not",
            )
        return RegistryError(
            f"{self.endpoint.host} does not let {known.user} at {self.endpoint.path or 'it'}",
            hint=f"check the name and your rights there, or log in anew with '{login}'",
        )

    def _unexpected(self, asked: Asked, response: http.client.HTTPResponse) -> Exception:
        """The error that a status is; BrokenError for one that may go away."""
        said = _said(self.read(response, _ERROR_MAX))
        host, status = self.endpoint.host, response.status
        if status in (401, 403):
            return self.denied()
        if status == 404:
            return NotFoundError(f"{host} does not have it: {said or 'not found'}")
        if status == 429 or status >= 500:
            _pause(response.headers.get("Retry-After", ""))
            return BrokenError(f"{host} fails: {status} {said or response.reason[:100]}")
        return RegistryError(f"{host} refuses: {status} {said or response.reason[:100]}")


def _parsed(text: str) -> urllib.parse.SplitResult | None:
    """A URL of HTTP with a host, None for anything else."""
    try:
        url = urllib.parse.urlsplit(text)
        port = url.port
    except ValueError:
        return None
    return url if url.scheme in ("http", "https") and url.hostname and port != 0 else None


def same_place(url: urllib.parse.SplitResult, host: str) -> bool:
    """Whether a URL leads to a host; the usual port may be written or not."""
    return re.sub(r":(443|80)$", "", url.netloc) == re.sub(r":(443|80)$", "", host)


def _basic(known: Credentials) -> str:
    return "Basic " + base64.b64encode(f"{known.user}:{known.password}".encode()).decode()


def _pause(text: str) -> None:
    """Wait as long as the server asks for, within reason."""
    if text.isdecimal():
        time.sleep(min(float(text), _WAIT_MAX))


def _said(data: bytes) -> str:
    """The message of a registry's error document, shortened; it is escaped where it is shown."""
    try:
        first = json.loads(data)["errors"][0]
        parts = [str(first.get("code") or "").lower().replace("_", " "), str(first.get("message") or "")]
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return ""
    return ": ".join(part for part in parts if part)[:300]
