"""What mmdebstrap says of a failure, in a sentence; its lines as version 1.3.5 wrote them."""

from __future__ import annotations

import pytest

from devbox.errors import HostError, NotFoundError, UsageError
from devbox.image.bases.debian import Wish, check, failure

NO_PACKAGE = [
    "I: installing remaining packages inside the chroot...",
    "E: Unable to locate package no-such-package",
    "E: setup failed: E: apt-get --yes install no-such-package ?narrow(?or(?archive(^bookworm$))) failed",
    "I: main() received signal PIPE: waiting for setup...",
    "E: mmdebstrap failed to run",
]
NO_MIRROR = [
    "I: running apt-get update...",
    "E: Failed to fetch http://deb.invalid/dists/bookworm/InRelease  Could not resolve 'deb.invalid'",
    "E: mmdebstrap failed to run",
]


def test_a_missing_package_is_named() -> None:
    error = failure(1, NO_PACKAGE)
    assert isinstance(error, NotFoundError)
    assert error.message == "no such package: no-such-package"


def test_a_package_that_others_only_mention_is_named() -> None:
    error = failure(1, ["E: Package 'mail-transport' has no installation candidate", *NO_PACKAGE[2:]])
    assert error.message == "no such package: mail-transport"


def test_other_failures_are_told_with_what_came_before() -> None:
    error = failure(1, NO_MIRROR)
    assert isinstance(error, HostError)
    assert error.message.startswith("mmdebstrap failed: Failed to fetch http://deb.invalid/")
    assert failure(3, []).message == "mmdebstrap failed: exit status 3"


@pytest.mark.parametrize(
    "wish",
    [
        Wish("Bookworm"),
        Wish("-o"),
        Wish("bookworm", ("a;b",)),
        Wish("bookworm", ("--help",)),
        Wish("x", (), "huge"),
    ],
)
def test_words_that_mmdebstrap_would_take_otherwise_are_refused(wish: Wish) -> None:
    with pytest.raises(UsageError):
        check(wish)
