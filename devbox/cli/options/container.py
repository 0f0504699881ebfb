"""From a run or create command line, and an image, to what a container shall be."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
from collections.abc import Iterator, Mapping

from devbox.cli.options import confinement, files, limits, network
from devbox.cli.options import process as process_options
from devbox.container import runtime
from devbox.container.create import Request
from devbox.container.spec import mountlist, users
from devbox.errors import NotFoundError, RefusedError, UsageError
from devbox.image import catalog
from devbox.image.config import fits
from devbox.model import codec
from devbox.model.confinement_parse import parse_device_rule
from devbox.model.container import ContainerConfig, HealthCheck
from devbox.model.image import Image, ImageConfig
from devbox.model.invocation import Invocation
from devbox.model.options_parse import is_text, parse_count, parse_health, parse_label, parse_label_file, parse_log
from devbox.model.values_parse import merge_env, parse_restart, parse_signal
from devbox.store.database import Store

STREAMS = ("stdin", "stdout", "stderr")
_HEALTH = ("cmd", "interval", "timeout", "retries", "start-period", "start-interval")


def wish(store: Store, invocation: Invocation, environ: Mapping[str, str], cwd: str) -> Request:
    """What `run` or `create` asks for, every value of it checked; nothing is changed yet."""
    process_options.check_text(invocation)
    _check_conflicts(invocation)
    image = _image(store, invocation, environ)
    wanted = _process(ContainerConfig(), invocation, image.config, environ, cwd)
    wanted = _life(wanted, invocation, image.config)
    wanted = wanted._replace(
        labels=_labels(invocation, image.config, cwd),
        mounts=files.mounts(store, invocation, image.config, cwd),
        devices=files.devices(invocation),
        device_rules=tuple(parse_device_rule(text) for text in invocation.many("device_cgroup_rule")),
        shm_size=files.shm_size(invocation),
        read_only=invocation.flag("read_only"),
        resources=limits.resources(invocation),
        ulimits=limits.ulimits(invocation),
        throttles=limits.throttles(invocation),
        oom_score_adj=limits.oom_score_adj(invocation),
        runtime=runtime.check_name(invocation.text("runtime")) if invocation.text("runtime") else "",
        platform=invocation.text("platform"),
        annotations=dict(parse_label(text) for text in invocation.many("annotation")),
    )
    wanted = network.joined(wanted, store, invocation, image.config)
    wanted = confinement.confined(wanted, store, invocation, cwd)
    mountlist.check_init(wanted)
    for text in _texts(codec.encode(wanted)):
        if not is_text(text):
            raise RefusedError(
                f"the image, or a variable taken from here, has text that is none: {ascii(text)[:80]}"
            )
    return Request(image, invocation.text("image"), wanted, invocation.text("name"), network.links(invocation))


def _texts(value: object) -> Iterator[str]:
    """Every string in a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def update(invocation: Invocation, config: ContainerConfig) -> ContainerConfig:
    """What `devbox update` makes of a container's limits and restart policy."""
    config = config._replace(resources=limits.resources(invocation, config.resources))
    if invocation.text("restart"):
        restart = parse_restart(invocation.text("restart"))
        if config.auto_remove and restart.name != "no":
            raise UsageError("a container of --rm cannot get a restart policy")
        config = config._replace(restart=restart)
    return config


def warnings(invocation: Invocation) -> tuple[str, ...]:
    """What the user should know of a command line that docker accepts, too."""
    publishes = invocation.many("publish") or invocation.flag("publish_all")
    if publishes and invocation.many("network") == ("host",):
        return ("published ports are discarded: with the host's network every port is the host's",)
    return ()


def _check_conflicts(invocation: Invocation) -> None:
    if invocation.flag("rm") and invocation.text("restart") not in ("", "no"):
        raise UsageError("conflicting options: --restart and --rm")
    unknown = set(invocation.many("attach")) - set(STREAMS)
    if unknown:
        raise UsageError(f"invalid --attach {min(unknown)!r}", hint="the streams are stdin, stdout and stderr")
    if invocation.many("attach") and invocation.params.get("detach"):
        raise UsageError("conflicting options: --attach and --detach")
    if invocation.flag("no_healthcheck") and any(_health_options(invocation).values()):
        raise UsageError("--no-healthcheck conflicts with --health-* options")
    if invocation.flag("init") and invocation.text("pid"):
        raise UsageError(
            "conflicting options: --init and --pid", hint="an init reaps only in a namespace of its own"
        )
    if invocation.text("volume_driver") not in ("", "local"):
        raise UsageError(
            f"unknown volume driver {invocation.text('volume_driver')!r}", hint="the only one is local"
        )
    if invocation.text("pull") not in ("always", "missing", "never"):
        raise UsageError(f"invalid --pull {invocation.text('pull')!r}", hint="use always, missing or never")


def _image(store: Store, invocation: Invocation, environ: Mapping[str, str]) -> Image:
    """The image that is here, or else the registry's."""
    if invocation.text("pull") != "always":
        with contextlib.suppress(NotFoundError):
            image = catalog.find(store, invocation.text("image"))
            if fits(image, invocation.text("platform")):
                return image
    return _transferred(store, invocation, environ)


def _transferred(store: Store, invocation: Invocation, environ: Mapping[str, str]) -> Image:
    from devbox.cli.progress import progress
    from devbox.image.transfers import transfer

    policy: transfer.Policy = "always"
    if invocation.text("pull") != "always":
        policy = "missing" if invocation.text("pull") == "missing" else "never"
    shown = progress(sys.stderr, quiet=invocation.flag("quiet"))
    return transfer.ensure(
        store, invocation.text("image"), policy, invocation.text("platform"), shown, environ=environ
    )


def _process(
    wanted: ContainerConfig,
    invocation: Invocation,
    image: ImageConfig,
    environ: Mapping[str, str],
    cwd: str,
) -> ContainerConfig:
    entrypoint, command = _command(invocation, image)
    user = process_options.user(invocation) or image.user
    users.check_user(user)
    for group in invocation.many("group_add"):
        users.check_group(group)
    return wanted._replace(
        entrypoint=entrypoint,
        command=command,
        env=_env(invocation, image, environ, cwd),
        working_dir=_working_dir(invocation, image),
        user=user,
        group_add=invocation.many("group_add"),
        tty=invocation.flag("tty"),
        open_stdin=invocation.flag("interactive"),
        stdin_once=_stdin_once(invocation),
    )


def _stdin_once(invocation: Invocation) -> bool:
    """Whether stdin ends with the first client's: that of `run` or of a later `start --attach`."""
    only = invocation.many("attach")
    attached = not invocation.params.get("detach") and (not only or "stdin" in only)
    return invocation.flag("interactive") and attached


def _command(invocation: Invocation, image: ImageConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Entry point and command: a new entry point makes the image's command meaningless."""
    arguments = invocation.many("command")
    entrypoint = invocation.optional("entrypoint")
    if entrypoint is None:
        first, rest = image.entrypoint, arguments or image.command
    else:
        first, rest = (entrypoint,) if entrypoint else (), arguments
    words = first + rest
    if not words:
        raise UsageError("no command specified", hint="the image has none of its own: write one after its name")
    if not words[0]:
        raise UsageError("the command is empty")
    return first, rest


def _env(invocation: Invocation, image: ImageConfig, environ: Mapping[str, str], cwd: str) -> tuple[str, ...]:
    own = process_options.environment(invocation, environ, cwd)
    # as in docker, a bare name that is not set here takes the image's variable away, but none that was given
    absent = {value for value in invocation.many("env") if "=" not in value and value not in environ}
    return merge_env([line for line in image.env if line.partition("=")[0] not in absent], own)


def _working_dir(invocation: Invocation, image: ImageConfig) -> str:
    path = process_options.working_dir(invocation) or image.working_dir
    return "/" + os.path.normpath("/" + path).lstrip("/") if path else ""


def _life(wanted: ContainerConfig, invocation: Invocation, image: ImageConfig) -> ContainerConfig:
    stop_signal = invocation.text("stop_signal") or image.stop_signal or wanted.stop_signal
    parse_signal(stop_signal)
    timeout = invocation.text("stop_timeout")
    return wanted._replace(
        stop_signal=stop_signal,
        stop_timeout=parse_count(timeout, "--stop-timeout", least=-1) if timeout else wanted.stop_timeout,
        init=invocation.flag("init"),
        health=_health(invocation, image),
        restart=parse_restart(invocation.text("restart")),
        auto_remove=invocation.flag("rm"),
        log=parse_log(invocation.text("log_driver"), invocation.many("log_opt")),
    )


def _health(invocation: Invocation, image: ImageConfig) -> HealthCheck | None:
    if invocation.flag("no_healthcheck"):
        return None
    return parse_health(_health_options(invocation), image.health)


def _health_options(invocation: Invocation) -> dict[str, str]:
    return {name: invocation.text("health_" + name.replace("-", "_")) for name in _HEALTH}


def _labels(invocation: Invocation, image: ImageConfig, cwd: str) -> dict[str, str]:
    labels = dict(image.labels)
    for name in invocation.many("label_file"):
        labels.update(parse_label_file(process_options.read_text(name, cwd, "--label-file"), name))
    labels.update(parse_label(text) for text in invocation.many("label"))
    return labels
