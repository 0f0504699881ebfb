"""pull, push, login, logout and search."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
from typing import Any

from devbox.cli.context import Context
from devbox.cli.filters import boolean, parse_filters
from devbox.cli.output import listing
from devbox.cli.progress import progress
from devbox.errors import NotFoundError, UsageError
from devbox.image.progress import Progress
from devbox.image.squeeze import METHODS
from devbox.image.transfers import push as pushing
from devbox.image.transfers.pull import How
from devbox.image.transfers.pull import pull as pull_one
from devbox.model.invocation import Invocation
from devbox.model.options_parse import parse_count
from devbox.model.reference import DEFAULT_DOMAIN, Reference, familiar, parse
from devbox.registry import credentials, repository
from devbox.registry.credentials import Credentials
from devbox.registry.places import Endpoint, endpoint

_COLUMNS = (("Name", "NAME"), ("Description", "DESCRIPTION"), ("StarCount", "STARS"), ("IsOfficial", "OFFICIAL"))
_DESCRIPTION_WIDTH = 45
_LIMIT = 25


def pull(context: Context, invocation: Invocation) -> int:
    """Fetch an image, or all of a repository."""
    reference = parse(invocation.text("name"))
    quiet = invocation.flag("quiet")
    how = _how(context, invocation, progress(sys.stdout, quiet=quiet))
    if invocation.flag("all_tags"):
        return _pull_all(context, reference, how)
    if not reference.tag and not reference.digest:
        how.progress.note("Using default tag: latest")
    _pull(context, reference, how)
    return 0


def _pull(context: Context, reference: Reference, how: How) -> None:
    how.progress.note(
        f"{reference.digest or reference.tag or 'latest'}: Pulling from {familiar(reference.repository)}"
    )
    pulled = pull_one(context.reconciled(), reference, how)
    how.progress.note(f"Digest: {pulled.digest}")
    status = "Downloaded newer image for" if pulled.fresh else "Image is up to date for"
    how.progress.note(f"Status: {status} {familiar(reference.name)}")
    context.out(reference.name)


def _pull_all(context: Context, reference: Reference, how: How) -> int:
    if reference.tag or reference.digest:
        raise UsageError("--all-tags wants a repository without a tag")
    remote = repository.itself(reference, how.environ, insecure=how.insecure, actions="pull")
    tags = remote.tags()
    remote.close()
    if not tags:
        raise NotFoundError(f"{familiar(reference.repository)} has no tags")
    for tag in tags:
        _pull(context, parse(f"{reference.repository}:{tag}"), how)
    return 0


def push(context: Context, invocation: Invocation) -> int:
    """Put an image, or all of a repository, into its registry."""
    how = _how(context, invocation, progress(sys.stdout, quiet=invocation.flag("quiet")))
    store = context.reconciled()
    name = invocation.text("name")
    reference = parse(name)
    if reference.digest:
        raise UsageError("a digest cannot be pushed: it is made by the registry", hint="push a NAME:TAG")
    names = [reference.tagged]
    if invocation.flag("all_tags"):
        if reference.tag:
            raise UsageError("--all-tags wants a repository without a tag")
        names = pushing.tags_of(store, name)
    elif not reference.tag:
        how.progress.note("Using default tag: latest")
    how.progress.note(f"The push refers to repository [{reference.repository}]")
    for each in names:
        pushed = pushing.push(store, each, how)
        how.progress.note(f"{each.rpartition(':')[2]}: digest: {pushed.digest} size: {pushed.size}")
    if invocation.flag("quiet"):
        context.out(familiar(reference.repository if invocation.flag("all_tags") else reference.tagged))
    return 0


def _how(context: Context, invocation: Invocation, shown: Progress) -> How:
    compression = str(invocation.params.get("compression_format") or METHODS[0])
    if compression not in METHODS:
        raise UsageError(f"unknown compression {compression!r}", hint=f"use {' or '.join(METHODS)}")
    return How(
        context.environ,
        str(invocation.params.get("platform") or ""),
        insecure=invocation.flag("insecure"),
        compression=compression,
        progress=shown,
    )


def login(context: Context, invocation: Invocation) -> int:
    """Try credentials at a registry and keep them."""
    domain = _domain(invocation.text("server"))
    known = _credentials(context, invocation, domain)
    repository.log_in(_place(context, invocation, domain), known, context.environ)
    where = credentials.keep(domain, known, context.environ)
    if not where.startswith("docker-credential-"):
        context.err(
            f"WARNING! Your password is kept unencrypted in {where}: a credential helper would not do that."
        )
    context.out("Login Succeeded")
    return 0


def _credentials(context: Context, invocation: Invocation, domain: str) -> Credentials:
    user, password = invocation.text("username"), invocation.optional("password")
    if invocation.flag("password_stdin"):
        if password is not None:
            raise UsageError("--password and --password-stdin are mutually exclusive")
        if not user:
            raise UsageError("--password-stdin needs --username")
        password = sys.stdin.readline().rstrip("\r\n")
    elif password is not None:
        context.err("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    if not user or password is None:
        if not os.isatty(0):
            raise UsageError("a name and a password are wanted", hint="use --username and --password-stdin")
        user, password = _asked(context, user, password, domain)
    if not user or not password or ":" in user:
        raise UsageError("a name without ':' and a password are wanted")
    return Credentials(user, password)


def _asked(context: Context, user: str, password: str | None, domain: str) -> tuple[str, str]:
    import getpass

    context.flush()
    try:
        user = user or input(f"Username for {domain}: ").strip()
        return user, getpass.getpass("Password: ") if password is None else password
    except EOFError:
        raise UsageError("there is no answer", hint="use --username and --password-stdin") from None


def logout(context: Context, invocation: Invocation) -> int:
    """Forget the credentials of a registry."""
    domain = _domain(invocation.text("server"))
    if credentials.forget(domain, context.environ):
        context.out(f"Removing login credentials for {domain}")
    else:
        context.out(f"Not logged in to {domain}")
    return 0


def _domain(server: str) -> str:
    """A registry's name as references have it, from what may be a URL."""
    name = server.removeprefix("https://").removeprefix("http://").partition("/")[0]
    if name in ("", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"):
        return DEFAULT_DOMAIN
    return parse(f"{name}/x").domain if "." in name or ":" in name or name == "localhost" else _no_registry(server)


def _no_registry(server: str) -> str:
    raise UsageError(
        f"{server!r} is no registry", hint="write its host, and its port if it has one: host.example:5000"
    )


def _place(context: Context, invocation: Invocation, domain: str) -> Endpoint:
    """The registry itself, no repository of it."""
    place = endpoint(Reference(domain, "x"), context.environ, insecure=invocation.flag("insecure"))
    return place._replace(path="")


def search(context: Context, invocation: Invocation) -> int:
    """List images whose names or descriptions have a word."""
    term = invocation.text("term")
    filters = parse_filters(invocation.many("filter"), ("stars", "is-official", "is-automated"))
    limit = invocation.number("limit", _LIMIT) or _LIMIT
    if not 1 <= limit <= 100:
        raise UsageError("--limit is a number from 1 to 100")
    first, slash, rest = term.partition("/")
    own = bool(slash) and ("." in first or ":" in first or first == "localhost")
    domain, word = (first, rest) if own else (DEFAULT_DOMAIN, term)
    place = _place(context, invocation, domain)
    if not own:
        place = place._replace(host="index.docker.io")
    official = boolean(filters, "is-official")
    stars = max(parse_count(text, "--filter stars") for text in filters.get("stars", ("0",)))
    rows = [
        _found(result, domain if own else "", whole=invocation.flag("no_trunc"))
        for result in repository.search(place, word, limit, context.environ)
        if (official is None or bool(result.get("is_official")) == official) and _stars(result) >= stars
    ]
    listing(context, invocation, rows, columns=_COLUMNS, id_key="Name")
    return 0


def _stars(result: dict[str, Any]) -> int:
    """How many the registry says there are."""
    count = result.get("star_count")
    return count if isinstance(count, int) else 0


def _found(result: dict[str, Any], domain: str, *, whole: bool) -> dict[str, str]:
    description = " ".join(str(result.get("description") or "").split())
    if not whole and len(description) > _DESCRIPTION_WIDTH:
        description = description[: _DESCRIPTION_WIDTH - 1] + "…"
    name = str(result.get("name") or "")
    return {
        "Name": f"{domain}/{name}" if domain else name,
        "Description": description,
        "StarCount": str(_stars(result)),
        "IsOfficial": "[OK]" if result.get("is_official") else "",
        "IsAutomated": "[OK]" if result.get("is_automated") else "",
    }
