from __future__ import annotations

import os

import pytest

from devbox.errors import HostError
from devbox.system import process
from devbox.system.process import ProcessError


def test_output_and_errors_are_captured_together() -> None:
    assert process.run(["sh", "-c", "echo out; echo err >&2"]).output == b"out\nerr\n"


def test_stdin_arrives_byte_for_byte() -> None:
    assert process.run(["cat"], stdin=b"a\0b\xff\n").output == b"a\0b\xff\n"


def test_a_failure_is_shown_as_a_command_that_can_be_pasted() -> None:
    with pytest.raises(ProcessError) as caught:
        process.run(["sh", "-c", "echo no such thing; exit 3"])
    assert caught.value.status == 3
    assert str(caught.value) == "sh -c 'echo no such thing; exit 3': exit status 3: no such thing"


def test_death_by_a_signal_is_a_negative_status() -> None:
    assert process.run(["sh", "-c", "kill -KILL $$"], check=False).status == -9


def test_a_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "SEARCH_PATH", "/nonexistent")
    with pytest.raises(HostError) as caught:
        process.run(["nft", "list"])
    assert caught.value.message == "nft is not installed"
    assert caught.value.hint == "apt-get install nftables"


def test_nothing_of_our_environment_leaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    assert b"hunter2" not in process.run(["env"]).output


def test_no_descriptor_of_ours_leaks() -> None:
    ours = os.open("/dev/null", os.O_RDONLY)
    try:
        high = os.dup2(ours, 77, inheritable=False)
        assert b"77" not in process.run(["ls", "/proc/self/fd"]).output.split()
        os.close(high)
    finally:
        os.close(ours)


def test_a_program_that_ends_before_it_reads_is_no_error_of_ours() -> None:
    assert process.run(["true"], stdin=b"x" * 10).status == 0
