"""demo: redis and a web application in two containers, linked, and what a person would look at to believe it."""

from __future__ import annotations

import sys

assert sys.platform == "linux"

import contextlib
import os
import shlex
from collections.abc import Callable, Iterator

from devbox.cli.commands.demo_stage import ExpectationError, Stage
from devbox.cli.context import Context
from devbox.container import records
from devbox.errors import ConflictError, NotFoundError
from devbox.image import catalog
from devbox.model.invocation import Invocation
from devbox.store.database import Store
from devbox.system.files import remove_tree
from devbox.system.locks import try_lock
from devbox.volume import volumes

BASE, REDIS_IMAGE = "demo/base", "demo/redis"
REDIS, WEB, SETUP = "demo-redis", "demo-web", "demo-setup"
VOLUME = "demo-data"
_ADDRESS = "{{.NetworkSettings.IPAddress}} {{.Id}}"
_COLUMNS = r"table {{.Names}}\t{{.Image}}\t{{.Ports}}"
_LAYERS = r'{{join .RootFS.Layers "\n"}}'
_CONFIGURE = (
    *("-e", "s/^bind .*/bind 0.0.0.0/"),
    *("-e", "s/^protected-mode .*/protected-mode no/"),
    *("-e", "s/^daemonize .*/daemonize no/"),
    *("-e", 's/^logfile .*/logfile ""/'),
)
_REMOVAL = (
    ("rm", "--force", "--volumes", WEB, REDIS),
    ("volume", "rm", VOLUME),
    ("rmi", REDIS_IMAGE, BASE),
)


def demo(context: Context, invocation: Invocation) -> int:
    """Play the demo and take away what it made, unless --keep."""
    store = context.reconciled()
    lock = try_lock(store.root.locks + "/demo")
    if lock is None:
        raise ConflictError("another demo is running")
    if left := _left(store):
        raise ConflictError(
            f"there is {' and '.join(left)} already",
            hint=f"an earlier demo that was kept goes with: {_removal()}",
        )
    stage = Stage(context)
    with stage.interruptible(), _scenery(stage, store, keep=invocation.flag("keep")) as source:
        _play(stage, source)
        _show_times(stage)
    os.close(lock)
    return 0


@contextlib.contextmanager
def _scenery(stage: Stage, store: Store, *, keep: bool) -> Iterator[str]:
    """A directory with the application's source; at the end all that the demo made goes, however it ended."""
    import tempfile

    source = tempfile.mkdtemp(prefix="devbox-demo-")
    try:
        os.chmod(source, 0o755)
        with open(os.path.join(os.path.dirname(__file__), "demo_app.py")) as file:
            _write(source, file.read())
        yield source
    finally:
        with stage.undisturbed():
            if keep:
                stage.say(f"\nLeft running. To remove it: {_removal()} && rm -r {source}")
            else:
                _remove(stage, store, source)


def _play(stage: Stage, source: str) -> None:
    stage.say("A small web application counts its visitors in redis: two containers, linked.")
    with stage.step("A base image from Debian's packages, made on the spot"):
        stage.devbox("bootstrap", "debian:bookworm", "--include", "python3,redis-server", "--tag", BASE)
    with stage.step("An image for redis: one small layer on top of it"):
        _make_redis_image(stage)
    with stage.step("Redis, its data in a volume"):
        stage.devbox("run", "--detach", "--name", REDIS, "--volume", f"{VOLUME}:/var/lib/redis", REDIS_IMAGE)
        stage.eventually(lambda: stage.run("exec", REDIS, "redis-cli", "ping")[1], "PONG")
        stage.expect(True, "redis answers")  # noqa: FBT003
    with stage.step("The application, linked to redis as 'db', its source mounted, its port published"):
        url = _start_application(stage, source)
    with stage.step("What the link gives the application"):
        _look_at_link(stage)
    with stage.step("A request over the published port"):
        page = stage.eventually(lambda: _get(url), "visit 1,")
        stage.say(f"   GET {url}\n     {page.strip()}")
        _expect_visits(stage, 1)
    with stage.step("An edit of the source on the host, and the next request"):
        _edit(stage, source)
        page = _get(url)
        stage.say(f"   GET {url}\n     {page.strip()}")
        stage.expect(page.startswith("Edited on the host: visit 2,"), "the edit is seen at once", instead=page)
        _expect_visits(stage, 2)
    with stage.step("The layers of the images"):
        _look_at_layers(stage)


def _make_redis_image(stage: Stage) -> None:
    stage.devbox("run", "--name", SETUP, BASE, "sed", "-i", *_CONFIGURE, "/etc/redis/redis.conf")
    changed = stage.devbox("diff", SETUP)
    stage.expect("C /etc/redis/redis.conf" in changed.split("\n"), "only redis.conf changed", instead=changed)
    stage.devbox(
        *("commit", "--change", "EXPOSE 6379", "--change", "USER redis", "--change", "WORKDIR /var/lib/redis"),
        *("--change", 'CMD ["redis-server", "/etc/redis/redis.conf"]', SETUP, REDIS_IMAGE),
    )
    stage.devbox("rm", SETUP)


def _start_application(stage: Stage, source: str) -> str:
    """Run it and return where it is published."""
    stage.devbox(
        *("run", "--detach", "--name", WEB, "--link", f"{REDIS}:db", "--volume", f"{source}:/app:ro"),
        *("--publish", "127.0.0.1::8000", BASE, "python3", "-u", "/app/app.py"),
    )
    published = stage.devbox("port", WEB, "8000")
    listing = stage.devbox("ps", "--no-trunc", "--format", _COLUMNS)
    stage.expect(f"{REDIS},{WEB}/db" in listing, "both run, and redis is 'db' to the application", instead=listing)
    return f"http://{published}/"


def _look_at_link(stage: Stage) -> None:
    address, container_id = stage.devbox("container", "inspect", "--format", _ADDRESS, REDIS, shown=False).split()
    variables = stage.devbox("exec", WEB, "env", show=lambda line: line.startswith("DB_")).split("\n")
    wanted = {
        f"DB_PORT=tcp://{address}:6379",
        f"DB_PORT_6379_TCP_ADDR={address}",
        "DB_PORT_6379_TCP_PORT=6379",
        f"DB_NAME=/{WEB}/db",
    }
    stage.expect(wanted <= set(variables), "the environment tells where redis is", instead=" ".join(variables))
    hosts = stage.devbox("exec", WEB, "cat", "/etc/hosts", show=lambda line: line.startswith(address))
    line = f"{address}\tdb {container_id[:12]} {REDIS}"
    stage.expect(line in hosts.split("\n"), "/etc/hosts has it under its alias, id and name", instead=hosts)


def _expect_visits(stage: Stage, number: int) -> None:
    counted = stage.devbox("exec", REDIS, "redis-cli", "get", "visits")
    stage.expect(counted == str(number), f"redis counted {number}", instead=counted)


def _edit(stage: Stage, source: str) -> None:
    with open(f"{source}/app.py") as file:
        text = file.read()
    before, after = 'GREETING = "Hello from devbox"', 'GREETING = "Edited on the host"'
    stage.say(f"   {source}/app.py\n     - {before}\n     + {after}")
    _write(source, text.replace(before, after))


def _look_at_layers(stage: Stage) -> None:
    stage.devbox("history", REDIS_IMAGE)
    base = stage.devbox("image", "inspect", "--format", _LAYERS, BASE).split("\n")
    redis = stage.devbox("image", "inspect", "--format", _LAYERS, REDIS_IMAGE).split("\n")
    stage.expect(
        len(redis) == 2 and redis[:1] == base, "redis's image is the base's layer, kept once, and its own"
    )


def _show_times(stage: Stage) -> None:
    stage.say("\nThe time it took")
    for title, seconds in stage.times:
        stage.say(f"   {seconds:6.2f} s  {title}")


def _get(url: str) -> str:
    """What the application answers, or why it does not."""
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection(url.removeprefix("http://").rstrip("/"), timeout=10)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read(4096).decode(errors="replace")
    except (OSError, HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()


def _write(source: str, text: str) -> None:
    with open(f"{source}/app.py", "w") as file:
        file.write(text)


def _left(store: Store) -> list[str]:
    """What has a name that the demo wants to give."""
    looks: tuple[tuple[str, Callable[[Store, str], object], tuple[str, ...]], ...] = (
        ("a container", records.resolve, (REDIS, WEB, SETUP)),
        ("an image", catalog.find, (BASE, REDIS_IMAGE)),
        ("a volume", volumes.get, (VOLUME,)),
    )
    return [f"{kind} {name}" for kind, find, names in looks for name in names if _exists(find, store, name)]


def _exists(find: Callable[[Store, str], object], store: Store, name: str) -> bool:
    try:
        find(store, name)
    except NotFoundError:
        return False
    return True


def _removal() -> str:
    return " && ".join(f"devbox {shlex.join(words)}" for words in _REMOVAL)


def _remove(stage: Stage, store: Store, source: str) -> None:
    stage.run("rm", "--force", "--volumes", SETUP)
    for words in _REMOVAL:
        stage.run(*words)
    remove_tree(source)
    if left := _left(store):
        raise ExpectationError(f"{' and '.join(left)} could not be removed", hint=f"try: {_removal()}")
    stage.say("\nEverything that the demo made is removed again.")
