"""Blobs that come over several connections at once, while whoever wants them works on those that are there."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import threading
from collections.abc import Sequence
from types import TracebackType

from devbox.errors import DevboxError, RefusedError
from devbox.image.progress import Progress, short
from devbox.image.transfers.downloads import Downloads
from devbox.registry.repository import Blob, Repository

_AT_ONCE = 3
_PATIENCE_SECONDS = 1.0


class _GivenUpError(Exception):
    """Nobody waits for a blob any more."""


class Fetching:
    """A context manager; the blobs become files of `downloads`, each checked."""

    def __init__(
        self, repository: Repository, blobs: Sequence[Blob], downloads: Downloads, progress: Progress
    ) -> None:
        wanted = {blob.digest: blob for blob in blobs}
        if any(blob.size != wanted[blob.digest].size for blob in blobs):
            raise RefusedError("the manifest gives a blob two sizes")
        self._files = {digest: downloads.take(blob) for digest, blob in wanted.items()}
        self._progress = progress
        self._waiting = list(wanted.values())
        self._results: dict[str, BaseException | None] = {}
        self._changed = threading.Condition()
        self._ended = False
        count = min(_AT_ONCE, len(self._waiting))
        self._threads = [
            threading.Thread(target=self._work, args=(repository.twin(),), daemon=True) for _ in range(count)
        ]

    def __enter__(self) -> Fetching:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._ended = True
        for thread in self._threads:
            thread.join(_PATIENCE_SECONDS)  # one that hangs at the registry ends with this process

    def wait_for(self, blob: Blob) -> str:
        """The path of a blob's file, once it is complete; raises what kept it from coming."""
        with self._changed:
            self._changed.wait_for(lambda: blob.digest in self._results or self._failed() is not None)
            error = self._failed()
        if error is not None:
            raise error
        return self._files[blob.digest][0]

    def _failed(self) -> BaseException | None:
        return next((error for error in self._results.values() if error is not None), None)

    def _work(self, repository: Repository) -> None:
        """One connection's life."""
        while (blob := self._next()) is not None:
            try:
                self._fetch(repository, blob)
                self._settle(blob, None)
            except _GivenUpError:
                break
            except (DevboxError, OSError) as error:
                self._settle(blob, error)
            except BaseException as error:
                self._settle(blob, error)
                raise
        repository.close()

    def _next(self) -> Blob | None:
        with self._changed:
            if self._ended or self._failed() is not None or not self._waiting:
                return None
            return self._waiting.pop(0)

    def _settle(self, blob: Blob, error: BaseException | None) -> None:
        with self._changed:
            self._results[blob.digest] = error
            self._changed.notify_all()

    def _fetch(self, repository: Repository, blob: Blob) -> None:
        key = short(blob.digest)
        self._progress.state(key, "Downloading", blob.size)

        def advance(size: int) -> None:
            if self._ended:
                raise _GivenUpError
            self._progress.advance(key, size)

        repository.fetch(blob, self._files[blob.digest][1], advance)
        self._progress.state(key, "Download complete")
