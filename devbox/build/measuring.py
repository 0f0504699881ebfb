"""Digests of layers, found out while further steps are under way: an image's config names them all."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import queue
import threading
from collections.abc import Iterable

from devbox.image import layers
from devbox.store.database import Store
from devbox.store.root import Root


class Measurer:
    """A thread that measures layers; a context manager, at whose good end all that was asked for is found."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._asked: set[int] = set()
        self._queue: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._failure: BaseException | None = None
        self.found: dict[int, layers.Prepared] = {}

    def __enter__(self) -> Measurer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            return  # it only reads, and nobody waits for what it finds
        self._queue.put(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def measure(self, wanted: Iterable[int]) -> None:
        """Ask for layers' digests."""
        for layer in wanted:
            if layer not in self._asked:
                self._asked.add(layer)
                self._queue.put(layer)

    def _work(self) -> None:
        try:
            with Store.open(self._root) as store:
                while (layer := self._queue.get()) is not None:
                    if layers.known_digest(store, layer) is None:
                        self.found[layer] = layers.measure_layer(store, layer)
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            self._failure = error
