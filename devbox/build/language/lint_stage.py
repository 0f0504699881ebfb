"""The build checks within a stage, which follow its variables from instruction to instruction."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from devbox.build.language.expanded import expand_word, expanded
from devbox.build.language.instructions import (
    Arg,
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    Maintainer,
    Shell,
    Typed,
    Workdir,
)
from devbox.build.language.suggest import nearest
from devbox.build.language.syntax import DockerfileError, Instruction, Span, Stage
from devbox.build.language.typed import typed
from devbox.build.language.words import WordError, expand_words

_SECRETS = frozenset(
    ("apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token")
)
_NO_SECRETS = frozenset(("public", "file", "version"))
_NO_VARIABLES = ("BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE")

Report = Callable[..., None]


class StageLinter:
    """Checks one stage; what it has come to is where a stage that is built on it begins."""

    def __init__(
        self,
        escape: str,
        arguments: Mapping[str, str],
        global_values: Mapping[str, str],
        environment: Mapping[str, str] | None,
        base: StageLinter | None,
    ) -> None:
        self._escape = escape
        self._arguments = arguments
        self._global_values = global_values
        self._complete = environment is not None
        self._values = dict(environment or {})
        self._declared: set[str] = set(base._declared) if base else set()
        self._workdir_set: bool = base._workdir_set if base else False
        self._shell_set: bool = base._shell_set if base else False
        self._once: dict[type, Span] = {}
        self._missing: set[str] = set()
        self._report: Report = _unset

    @property
    def environment(self) -> Mapping[str, str] | None:
        """The variables at the end of the stage; None when its base's are not known."""
        return self._values if self._complete else None

    def walk(self, stage: Stage, report: Report) -> None:
        """Check every instruction in order."""
        self._report = report
        for instruction in stage.instructions:
            item = typed(instruction)
            self._instruction(item)

    def _say(self, name: str, message: str, instruction: Instruction) -> None:
        self._report(name, message, instruction.span, instruction.comment)

    def _instruction(self, item: Typed) -> None:
        if isinstance(item, Expose):
            self._ports(item)
        elif isinstance(item, Arg):
            self._args(item)
        else:
            self._others(self._expanded(item))

    def _others(self, item: Typed) -> None:
        match item:
            case Maintainer():
                message = "Maintainer instruction is deprecated in favor of using label"
                self._say("MaintainerDeprecated", message, item.source)
            case Env():
                self._legacy(item)
                self._env(item)
            case Label():
                self._legacy(item)
            case Workdir():
                self._workdir(item)
            case Shell():
                self._shell_set = True
            case Cmd() | Entrypoint() | Healthcheck():
                self._last_counts(item)

    def _lookup(self, name: str) -> str | None:
        value = self._values.get(name)
        if value is None:
            self._missing.add(name)
        return value

    def _expanded(self, item: Typed) -> Typed:
        self._missing.clear()
        try:
            return expanded(item, self._lookup, self._escape)
        except DockerfileError:
            if self._complete:
                raise
            return item  # it may well be set in the base
        finally:
            self._undefined(item.source)

    def _undefined(self, source: Instruction) -> None:
        if not self._complete:
            return
        for name in sorted(self._missing - self._declared - set(_NO_VARIABLES)):
            near = nearest(name, sorted(self._values))
            meant = f" (did you mean ${near}?)" if near else ""
            self._say("UndefinedVar", f"Usage of undefined variable '${name}'{meant}", source)

    def _args(self, item: Arg) -> None:
        for name, default in item.args:
            self._secret("ARG", name, item.source)
            value = self._arguments.get(name)
            if value is None and default is not None:
                self._missing.clear()
                value = expand_word(item.source, default, self._lookup, self._escape)
                self._undefined(item.source)
            elif value is None:
                value = self._global_values.get(name)
            if value is not None:
                self._values[name] = value
            self._declared.add(name)

    def _secret(self, keyword: str, name: str, source: Instruction) -> None:
        words = set(name.lower().split("_"))
        if words & _SECRETS and not words & _NO_SECRETS:
            message = f"Do not use ARG or ENV instructions for sensitive data ({keyword} {json.dumps(name)})"
            self._say("SecretsUsedInArgOrEnv", message, source)

    def _legacy(self, item: Env | Label) -> None:
        spelled = item.source.spelled
        for pair in item.pairs:
            if pair.legacy:
                message = f'"{spelled} key=value" should be used instead of legacy "{spelled} key value" format'
                self._say("LegacyKeyValueFormat", message, item.source)

    def _env(self, item: Env) -> None:
        for pair in item.pairs:
            self._secret("ENV", pair.name, item.source)
            self._values[pair.name] = pair.value

    def _workdir(self, item: Workdir) -> None:
        if not self._workdir_set and not item.path.startswith("/"):
            path = json.dumps(item.path, ensure_ascii=False)
            message = f"Relative workdir {path} can have unexpected results if the base image changes"
            self._say("WorkdirRelativePath", message, item.source)
        self._workdir_set = True

    def _last_counts(self, item: Cmd | Entrypoint | Healthcheck) -> None:
        spelled = item.source.spelled
        before = self._once.get(type(item))
        if before is not None:
            message = (
                f"Multiple {spelled} instructions should not be used in the same stage "
                "because only the last one will be used"
            )
            self._report("MultipleInstructionsDisallowed", message, before, item.source.comment)
        self._once[type(item)] = item.source.span
        if isinstance(item, Healthcheck) or not item.command.shell or self._shell_set:
            return
        message = f"JSON arguments recommended for {spelled} to prevent unintended behavior related to OS signals"
        self._say("JSONArgsRecommended", message, item.source)

    def _ports(self, item: Expose) -> None:
        for word in item.ports:
            try:
                ports = expand_words(word, self._values.get, self._escape)
            except WordError:
                continue
            for port in ports:
                before, _, last = port.rpartition(":")
                protocol = last.partition("/")[2]
                if protocol != protocol.lower():
                    message = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
                    self._say("ExposeProtoCasing", message, item.source)
                if before:
                    message = (
                        f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
                    )
                    self._say("ExposeInvalidFormat", message, item.source)


def _unset(*_: object) -> None:
    """Until a stage is walked."""
