"""python-vagrant with a door of our own for processes: output logged and watched, time-outs, Vagrant's locks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

import vagrant

from devbox.errors import HostError
from devbox.machine import process
from devbox.machine.places import MachinePlace

_LOCKED = (
    "because it is locked!",
    "another process is already executing an action on the machine",
    "Vagrant attempted to acquire a lock named",
)
_STRAY = ("VAGRANT_CWD", "VAGRANT_VAGRANTFILE", "VAGRANT_DOTFILE_PATH", "VAGRANT_LOG", "BUNDLE_GEMFILE", "RUBYOPT")
_RETRY = 1.0
LOCK_WAIT = 600.0


class VagrantError(HostError):
    """Vagrant ended with an error."""

    def __init__(self, command: str, output: str, log: str) -> None:
        self.output = output
        super().__init__(f"vagrant {command} failed: {_gist(output)}", hint=f"the whole of it is in {log}")


class Program(vagrant.Vagrant):
    """Vagrant in the directory of one machine."""

    def __init__(self, place: MachinePlace, provider: str, said: Callable[[str], None], timeout: float) -> None:
        environ = {key: value for key, value in os.environ.items() if key not in _STRAY}
        environ |= {
            "VAGRANT_CHECKPOINT_DISABLE": "1",
            "VAGRANT_NO_COLOR": "1",
            "VAGRANT_EXPERIMENTAL": "disks",  # without it Vagrant 2.3 changes no disk's size
            "VAGRANT_DEFAULT_PROVIDER": provider,
            "LC_ALL": "C.UTF-8",
        }
        super().__init__(root=place.directory, env=environ)
        self._place = place
        self._said = said
        self._timeout = timeout

    def _call_vagrant_command(self, args: Sequence[str | None]) -> None:
        self._run_vagrant_command(args)

    def _run_vagrant_command(self, args: Sequence[str | None]) -> str:
        """Run it, again and again while another Vagrant holds the machine; its output."""
        words = [arg for arg in args if arg is not None]
        deadline = time.monotonic() + LOCK_WAIT
        told = False
        while True:
            status, output = self._once(words)
            if status == 0:
                return _machine_readable(output) if "--machine-readable" in words else output
            if not any(sign in output for sign in _LOCKED) or time.monotonic() > deadline:
                raise VagrantError(words[0], output, self._place.log)
            if not told:
                self._said("waiting for another vagrant that works on this machine")
                told = True
            time.sleep(_RETRY)

    def _once(self, words: list[str]) -> tuple[int, str]:
        lines: list[str] = []

        def line(text: str) -> None:
            lines.append(text)
            log.write(text + "\n")
            log.flush()
            self._said(text)

        with open(self._place.log, "a", encoding="utf-8", opener=_private) as log:
            log.write(f"--- {time.strftime('%Y-%m-%dT%H:%M:%S%z')} vagrant {' '.join(words)}\n")
            try:
                status = process.run(
                    [executable(), *words],
                    cwd=self.root,
                    env=self.env,
                    line=line,
                    timeout=self._timeout,
                    record=self._place.running if words[0] in CHANGING else "",
                )
            except process.TimeoutPassed:
                raise HostError(
                    f"vagrant {words[0]} was ended because it took longer than {self._timeout:.0f} s",
                    hint=f"what it printed is in {self._place.log}",
                ) from None
        return status, "\n".join(lines) + "\n"


CHANGING = ("up", "halt", "suspend", "resume", "destroy", "snapshot", "box")


def executable() -> str:
    """Where vagrant is; HostError where it is not."""
    path: str | None = vagrant.which("vagrant")
    if path is None:
        raise HostError("vagrant is not installed", hint="https://developer.hashicorp.com/vagrant/install has it")
    return path


def _machine_readable(output: str) -> str:
    """Without the warnings that plugins print in between."""
    return "".join(line + "\n" for line in output.splitlines() if line.partition(",")[0].isdigit())


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _gist(output: str) -> str:
    """Its last paragraph, in one line: there Vagrant says what is wrong."""
    paragraphs = [" ".join(part.split()) for part in output.strip().split("\n\n")]
    said = next((part for part in reversed(paragraphs) if part), "it said nothing")
    return said if len(said) <= 400 else said[:400] + "..."
