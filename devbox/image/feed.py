"""A descriptor to read from, which a thread beside the reader fills."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Iterator

from devbox.errors import DevboxError
from devbox.image.tar.source import CHUNK

Producer = Callable[[int], None]
"""Writes to the descriptor it is given, and leaves it open."""


@contextlib.contextmanager
def fed(produce: Producer) -> Iterator[int]:
    """A descriptor that gives what `produce` writes.

    What `produce` raises is raised at the end of the block: nothing that was read counts before. When the block
    ends early, the next write of `produce` fails with BrokenPipeError and ends it.
    """
    output, sink = os.pipe()
    fcntl.fcntl(sink, fcntl.F_SETPIPE_SZ, CHUNK)
    feeder = _Feeder(produce, sink)
    feeder.start()
    failed: DevboxError | None = None
    try:
        yield output
    except DevboxError as error:
        failed = error
    finally:
        os.close(output)
        feeder.join()
    if feeder.error is not None:
        raise feeder.error from failed
    if failed is not None:
        raise failed


class _Feeder(threading.Thread):
    def __init__(self, produce: Producer, sink: int) -> None:
        super().__init__(daemon=True)
        self._produce = produce
        self._sink = sink
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self._produce(self._sink)
        except BrokenPipeError:
            pass  # the reader has its own reason to stop
        except (DevboxError, OSError) as error:
            self.error = error
        finally:
            os.close(self._sink)
