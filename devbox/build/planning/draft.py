"""The image that a stage is going to be, while its instructions are read one after the other (no I/O)."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import copy
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from devbox.build.language.instructions import Command, Healthcheck, Pair
from devbox.image.config import write, write_history
from devbox.model.image import HistoryEntry

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
COMMENT = "devbox"
_SHELL = ("/bin/sh", "-c")
_NANOSECONDS = 1_000_000_000

Argument = tuple[str, str | None]
"""a build argument with its value"""


class Draft:
    """The `config` object of an image, its history, and the variables that instructions see."""

    def __init__(self, config: Mapping[str, Any], history: Sequence[HistoryEntry], author: str = "") -> None:
        self.config: dict[str, Any] = copy.deepcopy(dict(config))
        self.history: list[HistoryEntry] = list(history)
        self.author = author
        self.created = ""
        """time of the history's entries"""
        self.variables: dict[str, str] = {}
        """ENV and ARG alike, the later one counts"""
        for item in self.config.get("Env") or ():
            name, equals, value = item.partition("=")
            if equals:
                self.variables[name] = value
        self.variables.setdefault("PATH", DEFAULT_PATH)
        self.arguments: list[Argument] = []
        self.has_command = False

    @classmethod
    def empty(cls) -> Draft:
        """What FROM scratch begins with."""
        return cls({"Env": [f"PATH={DEFAULT_PATH}"], "WorkingDir": "/"}, ())

    def child(self) -> Draft:
        """What a stage begins with that is FROM this one."""
        other = Draft(self.config, self.history, self.author)
        other.variables = dict(self.variables)
        other.arguments = list(self.arguments)
        return other

    @property
    def working_dir(self) -> str:
        """Absolute."""
        return self.config.get("WorkingDir") or "/"

    @property
    def user(self) -> str:
        """As USER has it."""
        return self.config.get("User") or ""

    def environment(self) -> tuple[str, ...]:
        """The variables of a RUN."""
        return tuple(f"{name}={value}" for name, value in self.variables.items())

    def note(self, created_by: str, *, empty: bool = True) -> int:
        """Add an entry to the history; which one it is."""
        self.history.append(HistoryEntry(self.created, created_by, COMMENT, "", empty))
        return len(self.history) - 1

    def words(self, command: Command) -> list[str]:
        """What is executed: the words, or the shell with the line."""
        if not command.shell:
            return list(command.words)
        return [*(self.config.get("Shell") or _SHELL), " ".join(command.words)]

    def set_env(self, pairs: Sequence[Pair]) -> None:
        """ENV."""
        merged = dict(item.partition("=")[::2] for item in self.config.get("Env") or ())
        merged.update((pair.name, pair.value) for pair in pairs)
        self.config["Env"] = [f"{name}={value}" for name, value in merged.items()]
        self.variables.update((pair.name, pair.value) for pair in pairs)
        self.note("ENV " + _shown(pairs))

    def set_labels(self, pairs: Sequence[Pair]) -> None:
        """LABEL."""
        self.config["Labels"] = {
            **(self.config.get("Labels") or {}),
            **{pair.name: pair.value for pair in pairs},
        }
        self.note("LABEL " + _shown(pairs))

    def set_arguments(self, arguments: Sequence[Argument]) -> None:
        """ARG, the values found."""
        for name, value in arguments:
            if value is not None:
                self.variables[name] = value
            self.arguments.append((name, value))
        shown = (name if value is None else f"{name}={value}" for name, value in arguments)
        self.note("ARG " + " ".join(shown))

    def set_command(self, command: Command) -> None:
        """CMD."""
        self.config["Cmd"] = self.words(command)
        self.has_command = True
        self.note(f"CMD {json.dumps(self.config['Cmd'], ensure_ascii=False)}")

    def set_entrypoint(self, command: Command) -> None:
        """ENTRYPOINT, which makes a CMD of the base image meaningless."""
        self.config["Entrypoint"] = self.words(command)
        if not self.has_command:
            self.config.pop("Cmd", None)
        self.note(f"ENTRYPOINT {json.dumps(self.config['Entrypoint'], ensure_ascii=False)}")

    def set_shell(self, words: Sequence[str]) -> None:
        """SHELL."""
        self.config["Shell"] = list(words)
        self.note(f"SHELL {json.dumps(list(words), ensure_ascii=False)}")

    def set_user(self, user: str) -> None:
        """USER."""
        self.config["User"] = user
        self.note(f"USER {user}")

    def expose(self, ports: Sequence[str]) -> None:
        """EXPOSE."""
        self.config["ExposedPorts"] = {
            **(self.config.get("ExposedPorts") or {}),
            **{port: {} for port in ports},
        }
        self.note(f"EXPOSE {' '.join(ports)}")

    def add_volumes(self, paths: Sequence[str]) -> None:
        """VOLUME."""
        self.config["Volumes"] = {**(self.config.get("Volumes") or {}), **{path: {} for path in paths}}
        self.note(f"VOLUME {json.dumps(list(paths), ensure_ascii=False)}")

    def set_stop_signal(self, signal: str) -> None:
        """STOPSIGNAL."""
        self.config["StopSignal"] = signal
        self.note(f"STOPSIGNAL {signal}")

    def add_trigger(self, expression: str) -> None:
        """ONBUILD."""
        self.config["OnBuild"] = [*(self.config.get("OnBuild") or ()), expression]
        self.note(f"ONBUILD {expression}")

    def take_triggers(self) -> list[str]:
        """The ONBUILD instructions of the base image, which are for its direct children only."""
        return list(self.config.pop("OnBuild", None) or ())

    def set_author(self, author: str) -> None:
        """MAINTAINER."""
        self.author = author
        self.note(f"MAINTAINER {author}")

    def set_health(self, item: Healthcheck) -> None:
        """HEALTHCHECK."""
        standard = type(item.health)(item.health.test)
        seconds = {
            "Interval": (item.health.interval, standard.interval),
            "Timeout": (item.health.timeout, standard.timeout),
            "StartPeriod": (item.health.start_period, standard.start_period),
            "StartInterval": (item.start_interval, 0.0),
        }
        health: dict[str, Any] = {"Test": list(item.health.test)}
        for name, (value, default) in seconds.items():
            if value != default:
                health[name] = round(value * _NANOSECONDS)
        if item.health.retries != standard.retries:
            health["Retries"] = item.health.retries
        self.config["Healthcheck"] = health
        self.note(f"HEALTHCHECK {json.dumps(health['Test'], ensure_ascii=False)}")

    def enter(self, path: str) -> str:
        """WORKDIR: the directory that it leads to from here."""
        self.config["WorkingDir"] = self.resolve(path)
        return self.working_dir

    def resolve(self, path: str) -> str:
        """A path from the working directory, absolute and cleaned."""
        parts: list[str] = []
        for part in (path if path.startswith("/") else f"{self.working_dir}/{path}").split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part not in ("", "."):
                parts.append(part)
        return "/" + "/".join(parts)

    def document(
        self,
        diff_ids: Sequence[str],
        *,
        bare: Collection[int],
        labels: Mapping[str, str],
        platform: tuple[str, str],
    ) -> bytes:
        """The config document; `bare` are entries of the history whose steps changed no file."""
        config = {key: value for key, value in self.config.items() if value or value == []}
        if labels:
            config["Labels"] = {**(config.get("Labels") or {}), **labels}
        history = [
            entry._replace(empty_layer=True) if number in bare else entry
            for number, entry in enumerate(self.history)
        ]
        whole: dict[str, Any] = {
            "architecture": platform[0],
            "config": config,
            "created": self.created,
            "history": [write_history(entry) for entry in history],
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        }
        whole |= {"variant": platform[1]} if platform[1] else {}
        whole |= {"author": self.author} if self.author else {}
        return write(whole)

    def arguments_shown(self) -> str:
        """As a RUN's history begins: "|1 NAME=value "; empty without any."""
        found = {name: self.variables.get(name, value or "") for name, value in self.arguments}
        if not found:
            return ""
        return f"|{len(found)} " + "".join(f"{name}={value} " for name, value in found.items())


def _shown(pairs: Sequence[Pair]) -> str:
    return " ".join(f"{pair.name}={pair.value}" for pair in pairs)
