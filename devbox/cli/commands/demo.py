"""demo: redis and a web application in two linked containers, shown as a person would check them by hand."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from devbox.cli.commands import demo_app
from devbox.cli.commands.demo_stage import ExpectationError, Stage
from devbox.cli.context import Context
from devbox.errors import UsageError
from devbox.model.invocation import Invocation

_NAME = f"devbox-demo-{os.getpid()}"
"""of this demo alone: two at once do not meet, and nothing of the user's is in the way"""
_REDIS, _WEB = f"{_NAME}-redis", f"{_NAME}-web"
_BASE_IMAGE, _REDIS_IMAGE = f"{_NAME}/base", f"{_NAME}/redis"
_CONFIGURE = "echo protected-mode no > /etc/redis/demo.conf"
_PORT = 8000


def demo(context: Context, invocation: Invocation) -> int:
    """Play the demo and clean up after it; whatever does not hold fails it with one sentence and exit code 1."""
    source = os.path.join(_place(context), f"devbox-demo.{os.getpid()}")
    stage = Stage(context)
    with stage.interruptible(), _cleaned(stage, source, keep=invocation.flag("keep")):
        with stage.step("A base image, made of Debian's packages"):
            _make_base_image(stage, invocation.text("image"))
        with stage.step("A redis image: one more layer on top of it"):
            _make_redis_image(stage)
        with stage.step("redis, and a web application that is linked to it by the name 'db'"):
            url = _start(stage, source)
        with stage.step("What the link tells the web application"):
            _show_link(stage)
        with stage.step("Requests over the published port reach redis"):
            _show_requests(stage, url)
        with stage.step("An edit of the source on the host counts for the next request"):
            _show_edit(stage, source, url)
        with stage.step("The layers of the image, and what runs"):
            _show_layers(stage)
    stage.say("\nTimes:")
    for title, seconds in stage.times:
        stage.say(f"  {seconds:6.2f} s  {title}")
    return 0


def _place(context: Context) -> str:
    """A directory for the application's source, which must be one that the machine sees if there is one."""
    if context.machine is None:
        return tempfile.gettempdir()
    from devbox.cli import remote
    from devbox.machine import places, shared

    name = remote.awake(context, context.machine)
    mapping = shared.mounted(places.machine(name))
    if not mapping.shares:
        hint = 'shares = ["~/devbox"] in its settings, then devbox machine restart ' + name
        raise UsageError(f"machine {name!r} shares no directory of this host, and the demo needs one", hint=hint)
    return context.cwd if mapping.to_guest(os.path.realpath(context.cwd)) else mapping.shares[0].host


def _make_base_image(stage: Stage, given: str) -> None:
    if given:
        stage.devbox("tag", given, _BASE_IMAGE)
    else:
        stage.devbox("bootstrap", "debian:bookworm", "--include", "redis-server,python3", "-t", _BASE_IMAGE)


def _make_redis_image(stage: Stage) -> None:
    stage.devbox("run", "--name", _REDIS, _BASE_IMAGE, "sh", "-c", _CONFIGURE)
    command = 'CMD ["redis-server", "/etc/redis/demo.conf"]'
    changes = ("USER redis", "WORKDIR /var/lib/redis", "EXPOSE 6379", command)
    stage.devbox("commit", *(word for change in changes for word in ("-c", change)), _REDIS, _REDIS_IMAGE)
    stage.devbox("rm", _REDIS)


def _start(stage: Stage, source: str) -> str:
    """Start both containers; the address of the web application on this machine."""
    os.mkdir(source, 0o755)
    with open(demo_app.__file__) as app, open(source + "/app.py", "w") as copy:
        copy.write(app.read())
    stage.devbox("run", "-d", "--name", _REDIS, _REDIS_IMAGE)
    stage.devbox(
        "run", "-d", "--name", _WEB, "--link", f"{_REDIS}:db", "-p", f"127.0.0.1::{_PORT}",
        "-v", f"{source}:/app:ro", _BASE_IMAGE, "python3", "/app/app.py",
    )  # fmt: skip
    return "http://" + stage.devbox("port", _WEB, str(_PORT))


def _show_link(stage: Stage) -> None:
    environment = stage.devbox("exec", _WEB, "env", show=lambda line: line.startswith("DB_"))
    hosts = stage.devbox("exec", _WEB, "cat", "/etc/hosts", show=lambda line: line.endswith(_REDIS))
    address = stage.devbox("inspect", "-f", "{{.NetworkSettings.IPAddress}}", _REDIS, shown=False)
    lines = environment.splitlines()
    for line in (f"DB_PORT=tcp://{address}:6379", f"DB_NAME=/{_WEB}/db"):
        stage.expect(line in lines, f"the environment has {line}")
    named = any(line.startswith(f"{address}\tdb ") and line.endswith(f" {_REDIS}") for line in hosts.splitlines())
    stage.expect(named, f"/etc/hosts knows db and {_REDIS} by redis's address {address}", instead=hosts)


def _show_requests(stage: Stage, url: str) -> None:
    stage.eventually(lambda: _get(url), "visit 1,")
    stage.say(f"   $ curl {url}")
    answer = _get(url)
    stage.say(f"     {answer.strip()}")
    stage.expect("visit 2," in answer, "the second answer counts two visits", instead=answer)
    count = stage.devbox("exec", _REDIS, "redis-cli", "get", "visits")
    stage.expect(count.strip('"') == "2", "redis itself has the count", instead=count)


def _show_edit(stage: Stage, source: str, url: str) -> None:
    path, before, after = source + "/app.py", demo_app.GREETING, "Hello from the host"
    stage.say(f"   $ sed -i 's/{before}/{after}/' {path}")
    with open(path) as file:
        text = file.read()
    with open(path, "w") as file:
        file.write(text.replace(before, after))
    answer = _get(url)
    stage.say(f"   $ curl {url}\n     {answer.strip()}")
    stage.expect(answer.startswith(after), "the next answer is the edited one", instead=answer)


def _show_layers(stage: Stage) -> None:
    stage.devbox("history", _REDIS_IMAGE)
    layers = [
        stage.devbox("inspect", "-f", '{{join .RootFS.Layers " "}}', image, shown=False).split()
        for image in (_BASE_IMAGE, _REDIS_IMAGE)
    ]
    shared = layers[1][: len(layers[0])] == layers[0] and len(layers[1]) == len(layers[0]) + 1
    stage.expect(shared, "the redis image shares the base image's layer and adds one", instead=str(layers))
    stage.devbox("ps", "--filter", f"name={_NAME}")


def _get(url: str) -> str:
    """The body of a page, whatever its status; an empty one while nobody answers."""
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=10) as answer:
            return str(answer.read().decode(errors="replace"))
    except HTTPError as error:
        with error:
            return error.read().decode(errors="replace")
    except (URLError, HTTPException, OSError):
        return ""


@contextmanager
def _cleaned(stage: Stage, source: str, *, keep: bool) -> Iterator[None]:
    """Take everything away at the end, whatever the end is, unless it was to be kept and all went well."""
    try:
        yield
    except BaseException:
        _clean(stage, source)
        raise
    if not keep:
        stage.say("\nCleaning up.")
        _clean(stage, source)
        return
    stage.say(f"\nEverything is left running; the source is {source}/app.py. To remove it:\n")
    stage.say(f"  devbox rm -f {_WEB} {_REDIS} && devbox rmi {_REDIS_IMAGE} {_BASE_IMAGE} && rm -r {source}")


def _clean(stage: Stage, source: str) -> None:
    with stage.undisturbed():
        for name in (_WEB, _REDIS):
            if stage.run("inspect", "--type", "container", name)[0] == 0 and stage.run("rm", "-f", "-v", name)[0]:
                raise ExpectationError(f"container {name} cannot be removed", hint=f"try 'devbox rm -f {name}'")
        for image in (_REDIS_IMAGE, _BASE_IMAGE):
            stage.run("rmi", image)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(source)
