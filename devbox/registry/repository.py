"""One repository of a registry: its manifests, blobs and tags."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import functools
import hashlib
import http.client
import json
import os
import re
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from devbox.errors import NotFoundError, RefusedError, RegistryError
from devbox.model.reference import DEFAULT_TAG, DIGEST, Reference
from devbox.registry.client import Asked, Client, same_place
from devbox.registry.connection import Body, BrokenError
from devbox.registry.credentials import Credentials
from devbox.registry.places import Endpoint, endpoint, endpoints
from devbox.system.files import write_all

MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
DOCUMENT_MAX = 4 << 20
_LISTING_MAX = 16 << 20
_TAGS_MAX = 100_000
_PIECE = 1 << 20
_NEXT = re.compile(r'<([^>]+)>\s*;\s*rel="?next"?')


class Manifest(NamedTuple):
    """A document of a registry, whose bytes have this digest."""

    data: bytes
    digest: str
    media_type: str
    """as the registry says; the document may say otherwise"""


class Blob(NamedTuple):
    """What a manifest says of a blob."""

    digest: str
    size: int
    media_type: str = ""


class Session:
    """An upload, over all attempts; who keeps its location can go on with it in another process."""

    def __init__(self, location: str = "", keep: Callable[[str], object] = lambda _: None) -> None:
        self.location = location
        self.had = 0
        """bytes that the registry has"""
        self._keep = keep

    def move(self, location: str, had: int) -> None:
        """Go on elsewhere, after so many bytes."""
        if location != self.location:
            self._keep(location)
        self.location, self.had = location, had


Advance = Callable[[int], object]
"""told of bytes that came or went; negative when they must come again"""


class Repository:
    """Asks one endpoint; not for two threads at once (see `twin`)."""

    def __init__(self, client: Client, reference: Reference) -> None:
        self.client = client
        self.reference = reference
        self._base = f"/v2/{client.endpoint.path}"

    @property
    def host(self) -> str:
        """The registry that is asked."""
        return self.client.endpoint.host

    def twin(self) -> Repository:
        """Another one for another thread."""
        return Repository(self.client.twin(), self.reference)

    def close(self) -> None:
        """Close all connections."""
        self.client.close()

    def manifest(self, wanted: str) -> Manifest:
        """The manifest or index of a tag or digest, checked against the digest."""
        asked = Asked("GET", f"{self._base}/manifests/{wanted}", {"Accept": ", ".join(MANIFEST_TYPES)})
        try:
            answer = self.client.ask(asked, most=DOCUMENT_MAX)
        except NotFoundError as error:
            raise self._missing(wanted) from error
        digest = "sha256:" + hashlib.sha256(answer.data).hexdigest()
        told = wanted if re.fullmatch(DIGEST, wanted) else answer.headers.get("Docker-Content-Digest", digest)
        if told != digest:
            raise RefusedError(f"{self.host} sent a manifest that is not the one it names: {told[:80]}")
        return Manifest(answer.data, digest, answer.headers.get("Content-Type", "").partition(";")[0].strip())

    def _missing(self, wanted: str) -> NotFoundError:
        name = f"{self.reference.repository}{'@' if ':' in wanted else ':'}{wanted}"
        return NotFoundError(
            f"no such image in the registry: {name}",
            hint="check the spelling of the name and the tag; what is private needs 'devbox login' first",
        )

    def document(self, blob: Blob) -> bytes:
        """A small blob as a whole, checked."""
        if not 0 <= blob.size <= DOCUMENT_MAX:
            raise RefusedError(f"{blob.digest} is said to have {blob.size} bytes, and {DOCUMENT_MAX} is the most")
        answer = self.client.ask(Asked("GET", f"{self._base}/blobs/{blob.digest}"), most=blob.size)
        self._check(blob, len(answer.data), hashlib.sha256(answer.data).hexdigest())
        return answer.data

    def fetch(self, blob: Blob, fd: int, advance: Advance) -> None:
        """Write a blob to a file, checked; a cut line is taken up where it broke.

        The file may have a beginning of the blob already, from a line that broke before.
        """
        got = _Got(fd, advance)
        found = got.take_up(blob.size)
        self.client.attempts(lambda: self._fetch_from(blob, got), progress=lambda: got.size)
        if found and not got.restarted and "sha256:" + got.hasher.hexdigest() != blob.digest:
            got.restart()  # what was found may have lost its last blocks with the power
            self.client.attempts(lambda: self._fetch_from(blob, got), progress=lambda: got.size)
        self._check(blob, got.size, got.hasher.hexdigest())

    def _fetch_from(self, blob: Blob, got: _Got) -> None:
        """The rest of a blob."""
        if got.size == blob.size and got.size:
            return
        headers = {"Range": f"bytes={got.size}-"} if got.size else {}
        response = self.client.open(Asked("GET", f"{self._base}/blobs/{blob.digest}", headers), (200, 206))
        begins = response.headers.get("Content-Range", "").startswith(f"bytes {got.size}-")
        if got.size and not (response.status == 206 and begins):
            got.restart()
        left = blob.size - got.size
        if response.length is not None and response.length != left:
            self.client.close()
            raise self._lie(blob, f"{got.size + response.length} bytes")
        self.client.pour(response, got.take, left)
        if got.size > blob.size:
            self.client.close()
            raise self._lie(blob, "more")
        if got.size < blob.size:
            raise BrokenError(f"{self.host} sent {got.size} of {blob.size} bytes")

    def _check(self, blob: Blob, size: int, digest: str) -> None:
        if size != blob.size:
            raise self._lie(blob, f"{size} bytes")
        if "sha256:" + digest != blob.digest:
            raise RefusedError(f"{self.host} sent other bytes than those of {blob.digest}")

    def _lie(self, blob: Blob, sent: str) -> RefusedError:
        return RefusedError(f"{self.host} sends {sent} as {blob.digest}, which has {blob.size} bytes")

    def has(self, digest: str) -> bool:
        """Whether a blob is there."""
        asked = Asked("HEAD", f"{self._base}/blobs/{digest}")
        return self.client.ask(asked, expect=(200, 404)).status == 200

    def mount(self, digest: str, path: str) -> bool:
        """Take a blob of another repository of the same registry, if the registry allows it."""
        self.client.widen(path)
        query = urllib.parse.urlencode({"mount": digest, "from": path})
        asked = Asked("POST", f"{self._base}/blobs/uploads/?{query}", {"Content-Length": "0"})
        try:
            answer = self.client.ask(asked, expect=(201, 202))
        except (NotFoundError, RegistryError):
            return False  # not every registry can, or lets us
        if answer.status == 202:
            self._cancel(answer.headers)
        return answer.status == 201

    def _cancel(self, headers: http.client.HTTPMessage) -> None:
        """Give back an upload that was begun."""
        try:
            self.client.ask(Asked("DELETE", self._location(headers)), expect=(204, 404, 405))
        except (NotFoundError, RegistryError):
            return  # it forgets uploads by itself

    def send(self, data: bytes) -> str:
        """Put a small blob there, unless it is there; its digest."""
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if not self.has(digest):
            self.upload(lambda: [data], lambda: digest)
        return digest

    def upload(self, body: Body, digest: Callable[[], str], session: Session | None = None) -> None:
        """Send a blob in pieces; its digest is asked for when all of them are gone.

        Where the registry tells how much of it has come, the rest alone is sent after a line that broke.
        """
        session = session or Session()
        self.client.attempts(lambda: self._upload(body, digest, session), progress=lambda: session.had)

    def _upload(self, body: Body, digest: Callable[[], str], session: Session) -> None:
        location = self._continued(session) or self._begun(session)
        kind = {"Content-Type": "application/octet-stream"}
        rest = functools.partial(_without, body, session.had)
        try:
            sent = self.client.open(Asked("PATCH", location, kind, rest), (202, 204))
            self.client.read(sent, DOCUMENT_MAX)
            location = self._location(sent.headers)
            joint = "&" if "?" in location else "?"
            ended = location + joint + urllib.parse.urlencode({"digest": digest()})
            self.client.read(
                self.client.open(Asked("PUT", ended, {"Content-Length": "0"}), (201, 204)), DOCUMENT_MAX
            )
        except (NotFoundError, RegistryError):
            if not session.had:
                raise
            session.move("", 0)  # what it had was perhaps the beginning of something else
            self._upload(body, digest, session)

    def _begun(self, session: Session) -> str:
        """Where a new upload goes."""
        asked = Asked("POST", f"{self._base}/blobs/uploads/", {"Content-Length": "0"})
        location = self._location(self.client.ask(asked, expect=(202,), most=DOCUMENT_MAX).headers)
        session.move(location, 0)
        return location

    def _continued(self, session: Session) -> str:
        """Where an upload that was begun goes on; "" when the registry does not tell."""
        if not session.location:
            return ""
        try:
            answer = self.client.ask(Asked("GET", session.location), expect=(204,), most=DOCUMENT_MAX)
            location = self._location(answer.headers)
        except (NotFoundError, RegistryError):
            return ""
        had = re.fullmatch(r"(?:bytes=)?0-([0-9]{1,18})", answer.headers.get("Range", ""))
        session.move(location, int(had[1]) + 1 if had and had[1] != "0" else 0)
        return location

    def _location(self, headers: http.client.HTTPMessage) -> str:
        """Where an upload goes on: a path here, or a whole URL elsewhere."""
        location = headers.get("Location", "")
        url = urllib.parse.urlsplit(location)
        if not location or (not url.netloc and not url.path.startswith("/")):
            raise RegistryError(f"{self.host} does not say where an upload goes")
        if not url.netloc or same_place(url, self.host):
            return urllib.parse.urlunsplit(("", "", url.path, url.query, ""))
        return location

    def put(self, wanted: str, data: bytes, media_type: str) -> str:
        """Put a manifest there under a tag or its digest; the digest."""
        asked = Asked("PUT", f"{self._base}/manifests/{wanted}", {"Content-Type": media_type}, data)
        answer = self.client.ask(asked, expect=(200, 201, 202))
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        if answer.headers.get("Docker-Content-Digest", digest) != digest:
            raise RefusedError(f"{self.host} keeps another manifest than the one it was sent")
        return digest

    def tags(self) -> list[str]:
        """All tags."""
        return listed(self.client, f"{self._base}/tags/list", "tags")


def _without(body: Body, skip: int) -> Iterator[bytes]:
    """A body without its first bytes."""
    for piece in body():
        if rest := piece[skip:]:
            yield rest
        skip = max(0, skip - len(piece))


class _Got:
    """What of a blob has come."""

    def __init__(self, fd: int, advance: Advance) -> None:
        self._fd = fd
        self._advance = advance
        self.size = 0
        self.restarted = False
        self.hasher = hashlib.sha256()

    def take(self, data: bytes) -> None:
        write_all(self._fd, data)
        self.hasher.update(data)
        self.size += len(data)
        self._advance(len(data))

    def take_up(self, most: int) -> int:
        """Go on after what the file has, unless that is too much; how much it is."""
        while data := os.read(self._fd, _PIECE):
            self.hasher.update(data)
            self.size += len(data)
        self._advance(self.size)
        found = self.size
        if found > most:
            self.restart()
        return found

    def restart(self) -> None:
        """Begin anew: the registry cannot send the rest alone."""
        self.restarted = True
        self._advance(-self.size)
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        self.size = 0
        self.hasher = hashlib.sha256()


def listed(client: Client, target: str, key: str) -> list[str]:
    """All names of a listing of several pages."""
    names: list[str] = []
    while target:
        answer = client.ask(Asked("GET", target), most=_LISTING_MAX)
        try:
            page = json.loads(answer.data).get(key) or []
        except (ValueError, AttributeError, RecursionError) as error:
            raise RefusedError(f"{client.endpoint.host} answers with no list of {key}") from error
        names += [name for name in page if isinstance(name, str)]
        following = _NEXT.search(answer.headers.get("Link", ""))
        if not page or len(names) > _TAGS_MAX or not following:
            break
        url = urllib.parse.urlsplit(urllib.parse.urljoin(target, following[1]))
        target = urllib.parse.urlunsplit(("", "", url.path, url.query, ""))
    return names


def itself(
    reference: Reference, environ: Mapping[str, str], *, insecure: bool = False, actions: str = "pull,push"
) -> Repository:
    """The repository at its registry, no mirror of it."""
    place = endpoint(reference, environ, insecure=insecure)
    return Repository(Client(place, environ, actions=actions), reference)


def find(
    reference: Reference, environ: Mapping[str, str], *, insecure: bool = False
) -> tuple[Repository, Manifest]:
    """The first of the mirrors and the registry that has the reference, with its manifest."""
    wanted = reference.digest or reference.tag or DEFAULT_TAG
    *mirrors, home = endpoints(reference, environ, insecure=insecure)
    for place in mirrors:
        repository = Repository(Client(place, environ), reference)
        try:
            return repository, repository.manifest(wanted)
        except (NotFoundError, RegistryError):
            repository.close()  # a mirror that fails is no reason to stop
    repository = Repository(Client(home, environ), reference)
    return repository, repository.manifest(wanted)


def log_in(place: Endpoint, known: Credentials, environ: Mapping[str, str]) -> None:
    """See that a registry takes these credentials; RegistryError when it does not."""
    client = Client(place, environ, known=known)
    client.ask(Asked("GET", "/v2/"), most=DOCUMENT_MAX)
    client.close()


def search(place: Endpoint, term: str, limit: int, environ: Mapping[str, str]) -> list[dict[str, Any]]:
    """What a registry finds by its old search, or has in its catalog."""
    client = Client(place, environ, scope="registry:catalog:*")
    query = urllib.parse.urlencode({"q": term, "n": limit})
    try:
        answer = client.ask(Asked("GET", f"/v1/search?{query}"), most=DOCUMENT_MAX)
        results = json.loads(answer.data)["results"]
        return [result for result in results if isinstance(result, dict)][:limit]
    except NotFoundError:
        names = listed(client, "/v2/_catalog?n=1000", "repositories")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RefusedError(f"{place.host} answers with no list of images") from error
    return [{"name": name} for name in names if term in name][:limit]
