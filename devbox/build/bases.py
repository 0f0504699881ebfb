"""Images that stages begin with and copy from: here, or fetched."""

import sys

assert sys.platform == "linux"

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from devbox.build.language.syntax import DockerfileError, Span
from devbox.build.planning.planned import Base
from devbox.build.planning.platforms import Platform
from devbox.errors import DevboxError, NotFoundError
from devbox.image import aside, catalog, layers
from devbox.image.progress import Progress
from devbox.model.image import Image
from devbox.model.reference import parse
from devbox.store.database import Store

if TYPE_CHECKING:
    from devbox.image.transfers.transfer import Policy

_SHORT = re.compile("[0-9a-f]{1,11}")
"""a name, as 'cafe' is, although some image's id may begin so"""


class Finder:
    """Finds images for a plan, and holds their layers until this process ends."""

    def __init__(self, store: Store, *, pull: bool, progress: Callable[[], Progress]) -> None:
        self._store = store
        self._pull = pull
        self._progress = progress

    def __call__(self, reference: str, platform: Platform, span: Span) -> Base:
        """The image; DockerfileError with the place that wants it when there is none."""
        try:
            image = self._image(reference, platform)
        except NotFoundError:
            raise
        except DevboxError as error:
            raise DockerfileError(error.message, span, hint=error.hint) from error
        for layer in image.layers:
            layers.hold(self._store, layer)
        return Base(image, json.loads(catalog.document(self._store, image.id)))

    def _image(self, reference: str, platform: Platform) -> Image:
        if _SHORT.fullmatch(reference):
            reference = parse(reference).tagged
        here = None if self._pull else aside.find(self._store, reference, platform.name)
        if here is not None:
            return here
        from devbox.image.transfers.transfer import ensure

        policy: Policy = "always" if self._pull else "missing"
        return ensure(self._store, reference, policy, platform.name, self._progress(), base=True)
