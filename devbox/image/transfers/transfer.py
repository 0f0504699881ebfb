"""An image that is wanted: the one that is here, or the registry's, as a policy has it."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import os
from collections.abc import Mapping
from typing import Literal

from devbox.errors import DevboxError, NotFoundError, RegistryError, UsageError
from devbox.image import catalog, config
from devbox.image.progress import Progress
from devbox.model.image import Image
from devbox.model.reference import Reference, familiar, parse
from devbox.store.database import Store

Policy = Literal["always", "missing", "never"]
_ELSEWHERE = "without a registry: 'devbox bootstrap' makes a base image, 'devbox load' and 'import' read one"
_HINT = f"'devbox pull' fetches it; {_ELSEWHERE}"


def ensure(
    store: Store,
    reference: str,
    policy: Policy = "missing",
    platform: str = "",
    progress: Progress | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    base: bool = False,
) -> Image:
    """The image meant by a name, NAME@DIGEST or id; pulled when the policy says so.

    With a `platform` an image that is here for another one does not count. `base`: it is pulled as How says.
    Raises NotFoundError, RegistryError.
    """
    here = _here(store, reference)
    wanted = _name(reference)
    if here is not None and config.fits(here, platform) and (policy != "always" or wanted is None):
        return here  # an id means the same for ever
    if wanted is None or policy == "never":
        raise _missing(reference, platform, here)
    shown = progress or Progress()
    if here is None:
        shown.note(f"Unable to find image '{familiar(wanted.name)}' locally")
        try:
            return _pulled(store, wanted, platform, shown, environ, base=base)
        except (NotFoundError, RegistryError) as error:
            raise type(error)(error.message, hint=f"{error.hint}\n{_ELSEWHERE}".strip()) from error
    try:
        return _pulled(store, wanted, platform, shown, environ, base=base)
    except DevboxError as error:
        if policy == "always":
            raise
        hint = f"{error.message}\n{error.hint}".strip()
        raise NotFoundError(_missing(reference, platform, here).message, hint=hint) from error


def _here(store: Store, reference: str) -> Image | None:
    try:
        return catalog.find(store, reference)
    except NotFoundError:
        return None


def _name(reference: str) -> Reference | None:
    """What a registry may know, None for an id."""
    try:
        return parse(reference)
    except UsageError:
        return None


def _missing(reference: str, platform: str, here: Image | None) -> NotFoundError:
    if here is None:
        return NotFoundError(f"no such image: {reference}", hint=_HINT)
    actual = "/".join(filter(None, (here.os, here.architecture, here.variant)))
    return NotFoundError(f"image {reference} is not for the platform {platform}: it is for {actual}", hint=_HINT)


def _pulled(
    store: Store, wanted: Reference, platform: str, progress: Progress, environ: Mapping[str, str], *, base: bool
) -> Image:
    from devbox.image.transfers.pull import How, pull

    return pull(store, wanted, How(environ, platform, progress=progress, base=base)).image
