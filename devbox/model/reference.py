"""Image references as docker reads and prints them: `busybox` means `docker.io/library/busybox:latest`."""

import re
from typing import NamedTuple

from devbox.errors import UsageError

DEFAULT_DOMAIN = "docker.io"
DEFAULT_TAG = "latest"
NAME_LENGTH_MAX = 255

DIGEST = r"sha256:[0-9a-f]{64}"
_ID = r"[0-9a-f]{64}"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"


class Reference(NamedTuple):
    """A normalised reference; `tag` and `digest` are empty where none was written."""

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        """ "docker.io/library/busybox" """
        return f"{self.domain}/{self.path}"

    @property
    def name(self) -> str:
        """The form in which it is shown whole: with its digest if it has one, else with its tag."""
        return f"{self.repository}@{self.digest}" if self.digest else self.tagged

    @property
    def tagged(self) -> str:
        """ "docker.io/library/busybox:latest": the form in the `tags` table"""
        return f"{self.repository}:{self.tag or DEFAULT_TAG}"


def parse(text: str) -> Reference:
    """Read NAME[:TAG][@DIGEST]; UsageError for what docker would refuse."""
    rest, at, digest = text.partition("@")
    if at and not re.fullmatch(DIGEST, digest):
        raise _malformed(text, "a digest is 'sha256:' and 64 hex digits")
    head, slash, last = rest.rpartition("/")
    last, colon, tag = last.partition(":")
    name = head + slash + last
    if colon and not re.fullmatch(_TAG, tag):
        raise _malformed(text, "a tag has up to 128 letters, digits, '_', '.' or '-'")
    if len(name) == 64 and re.fullmatch(_ID, name):
        raise _malformed(text, "64 hex digits are an image id, not a name")
    domain, path = _split_domain(name)
    if not re.fullmatch(_PATH, path) or not re.fullmatch(_DOMAIN, domain):
        lower = "a repository name must be lower case" if path != path.lower() else ""
        raise _malformed(
            text, lower or "write it as NAME[:TAG], of lower case letters, digits and '.', '_', '-', '/'"
        )
    if len(domain) + 1 + len(path) > NAME_LENGTH_MAX:
        raise _malformed(text, f"a name has at most {NAME_LENGTH_MAX} characters")
    return Reference(domain, path, tag, digest)


def parse_tagged(text: str) -> Reference:
    """Read NAME[:TAG], with `latest` for no tag; UsageError when a digest is given."""
    reference = parse(text)
    if reference.digest:
        raise _malformed(text, "a tag cannot be made of a digest")
    if (reference.domain, reference.path) == (DEFAULT_DOMAIN, "library/sha256"):
        raise _malformed(text, "'sha256:' begins an id, and no name")
    return reference._replace(tag=reference.tag or DEFAULT_TAG)


def familiar(name: str) -> str:
    """The short form of a normalised name: docker.io/library/busybox:latest -> busybox:latest."""
    short = name.removeprefix(DEFAULT_DOMAIN + "/")
    return short.removeprefix("library/") if short != name and short.count("/") == 1 else short


def _split_domain(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        domain, path = first, rest
    else:
        domain, path = DEFAULT_DOMAIN, name
    if domain == "index.docker.io":
        domain = DEFAULT_DOMAIN
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = "library/" + path
    return domain, path


def _malformed(text: str, hint: str) -> UsageError:
    return UsageError(f"invalid reference format: {text!r}", hint=hint)
