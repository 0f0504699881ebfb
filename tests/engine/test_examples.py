"""The examples: the commands of their READMEs, as they stand there, do what is said."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.conftest import Box
from tests.engine.registries import registry

EXAMPLES = Path(__file__).parents[2] / "examples"
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ONLINE = os.environ.get("DEVBOX_TEST_ONLINE") == "1"


class Example:
    """A copy of an example's folder, in which its README is followed."""

    def __init__(self, box: Box, place: Path, programs: Path, name: str) -> None:
        self._place = place / name
        self.environ = {**box.env, "PATH": f"{programs}:{os.environ['PATH']}", "BIN": str(programs)}
        if ONLINE:
            del self.environ["CONTAINERS_REGISTRIES_CONF"]
        shutil.copytree(EXAMPLES / name, self._place)
        self._blocks = iter(_BLOCK.findall((self._place / "README.md").read_text()))

    def follow(self, timeout: float = 300) -> str:
        """Run the next block of the README; what it printed."""
        command = ["bash", "-euo", "pipefail", "-c", next(self._blocks)]
        done = subprocess.run(
            command,
            cwd=self._place,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ends(self) -> bool:
        return next(self._blocks, None) is None


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the program `devbox`."""
    place = tmp_path_factory.mktemp("programs")
    (place / "devbox").write_text(f'#!/bin/sh\nexec {sys.executable} -m devbox "$@"\n')
    (place / "devbox").chmod(0o755)
    return place


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    """A box with the base images of the examples; in memory, for packages are thousands of files."""
    with tempfile.TemporaryDirectory(prefix="examples", dir="/dev/shm") as place:
        box = Box(Path(place) / "root")
        prepare(box)
        yield box
        box.close()


def prepare(box: Box) -> None:
    box.env["PYTHONPATH"] = str(EXAMPLES.parent)
    box("bootstrap", "busybox")
    box("bootstrap", "debian:bookworm", "--tag", "debian:bookworm", timeout=300)
    box("build", "-q", "-t", "debian:bookworm", str(of_this_network(box.root.parent / "base")))


def of_this_network(place: Path) -> Path:
    """A Dockerfile that tells the base image what this machine was told about its network: dates, authorities."""
    place.mkdir()
    told = subprocess.run(["apt-config", "dump"], check=True, capture_output=True, text=True).stdout
    dates = [
        line for line in told.splitlines() if line.startswith(("Acquire::Check-Valid", "Acquire::Check-Date"))
    ]
    (place / "dates").write_text("\n".join(dates))
    shutil.copytree("/usr/local/share/ca-certificates", place / "authorities")
    (place / "Dockerfile").write_text(
        "FROM debian:bookworm\n"
        "COPY dates /etc/apt/apt.conf.d/dates\n"
        "COPY authorities /usr/local/share/ca-certificates\n"
        "ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt\n"
    )
    return place


@pytest.fixture
def example(box: Box, tmp_path: Path, programs: Path, request: pytest.FixtureRequest) -> Iterator[Example]:
    """The example of the test's parameter; its containers and volumes go with it."""
    example = Example(box, tmp_path, programs, request.param)
    yield example
    if containers := box.out("ps", "-aq").split():
        box("rm", "-f", "-v", *containers)
    box("volume", "prune", "-f", check=False)


@pytest.mark.parametrize("example", ["npm-registry"], indirect=True)
def test_a_package_is_published_to_a_registry_and_outlives_it(example: Example) -> None:
    example.follow()
    published, used = example.follow().split("hello")
    assert "+ team-greeting@1.0.0" in published
    assert used == " devbox, from the team's own registry\n"
    assert "hello devbox" in example.follow()
    assert example.ends()


@pytest.mark.parametrize("example", ["nginx-volume"], indirect=True)
def test_an_edit_on_the_host_is_the_next_answer(example: Example) -> None:
    assert example.follow().endswith("<h1>Served from the host</h1>\n")
    answer = example.follow()
    assert answer.startswith("<h1>Edited</h1>\n")
    assert answer.count('"GET / HTTP/1.1" 200') == 2
    assert example.ends()


@pytest.mark.parametrize("example", ["node-redis"], indirect=True)
def test_a_web_server_counts_in_the_redis_that_is_linked_to_it(example: Example) -> None:
    assert example.follow().splitlines()[-2:] == ["visitor 1", "visitor 2"]
    visitors, hosts, *variables = example.follow().splitlines()
    assert visitors == "2"
    assert re.fullmatch(r"[0-9.]+\s+db [0-9a-f]{12} redis", hosts)
    assert f"DB_PORT=tcp://{hosts.split()[0]}:6379" in variables
    assert example.ends()


@pytest.mark.parametrize("example", ["tomcat"], indirect=True)
def test_an_application_outlives_its_java_server(example: Example) -> None:
    assert "Two and two is 4, says Apache Tomcat/10" in example.follow()
    assert "Two and two is 4, says Apache Tomcat/10" in example.follow()
    assert example.ends()


STAND_IN = """\
FROM busybox
RUN mkdir -p /var/jenkins_home /srv && chown 1000 /var/jenkins_home
RUN echo 'Sign in [Jenkins]' > /srv/login
ENV JENKINS_HOME=/var/jenkins_home
USER 1000
VOLUME /var/jenkins_home
EXPOSE 8080 50000
ENTRYPOINT ["httpd", "-f", "-p", "8080", "-h", "/srv"]
"""


@pytest.mark.parametrize("example", ["jenkins"], indirect=True)
def test_the_commands_for_jenkins_do_what_they_should(box: Box, example: Example, tmp_path: Path) -> None:
    """With an image of its name, volume and ports from a mirror of Docker Hub; the real one is not everywhere."""
    with registry(tmp_path / "registry") as there:
        mirrored = f"{there.host}/jenkins/jenkins:lts-jdk17"
        box("build", "-t", mirrored, "--push", "-", input=STAND_IN)
        conf = f'[[registry]]\nlocation = "docker.io"\n[[registry.mirror]]\nlocation = "{there.host}"\n'
        (tmp_path / "registries.conf").write_text(conf)
        example.environ["CONTAINERS_REGISTRIES_CONF"] = str(tmp_path / "registries.conf")
        assert "Jenkins" in example.follow()
        assert example.follow().splitlines()[-1] == "kept"
        assert example.ends()


@pytest.mark.skipif(not ONLINE, reason="Jenkins is on Docker Hub: DEVBOX_TEST_ONLINE=1 fetches it")
@pytest.mark.parametrize("example", ["jenkins"], indirect=True)
def test_jenkins_keeps_its_home(example: Example) -> None:
    assert "Jenkins" in example.follow(timeout=900)
    assert example.follow().splitlines()[-1] == "kept"
    assert example.ends()


@pytest.mark.parametrize("example", ["install-to-host"], indirect=True)
def test_an_image_installs_a_tool_onto_the_host(example: Example) -> None:
    assert example.follow().splitlines()[-1] == "nsenter and container-enter are installed"
    assert example.follow().splitlines()[-1] == "inside"
    assert example.ends()


@pytest.fixture(scope="module")
def base(box: Box) -> str:
    """Debian with node and Python, where the projects have `node:...` and `python:...`."""
    packages = "nodejs npm python3 python3-pip ca-certificates"
    box(
        "build", "-q", "-t", "languages", "-",
        input="FROM debian:bookworm\n"
        f"RUN apt-get update && apt-get install -y --no-install-recommends {packages}\n"
        "RUN rm /usr/lib/python3*/EXTERNALLY-MANAGED && ln -s python3 /usr/bin/python\n",
        timeout=300,
    )  # fmt: skip
    return "languages"


class TestPublicProjects:
    """The Dockerfiles that well-known projects publish with their sources; only the base image is another one.

    gunicorn 27 (MIT), statsd 0.9 (MIT) and newman 6.2 (Apache-2.0) come from their package registries, and nothing
    of them is part of this repository.
    """

    @pytest.fixture(autouse=True)
    def containers(self, box: Box) -> Iterator[None]:
        yield
        if containers := box.out("ps", "-aq").split():
            box("rm", "-f", "-v", *containers)

    def build(self, box: Box, base: str, archive: Path, *options: str, dockerfile: str = "Dockerfile") -> None:
        """Unpack a project's sources and build its image, called "project", on our base."""
        place = archive.parent / "sources"
        place.mkdir()
        subprocess.run(["tar", "xzf", archive, "-C", place, "--strip-components=1"], check=True)
        text = (place / dockerfile).read_text()
        adapted, count = re.subn(r"^FROM \S+", f"FROM {base}", text, flags=re.MULTILINE)
        assert count == 1
        (place / dockerfile).write_text(adapted)
        box("build", "-t", "project", "-f", str(place / dockerfile), *options, str(place), timeout=300)

    def packed(self, box: Box, base: str, place: Path, package: str) -> Path:
        """A package of npm's registry, fetched by the npm of our base image."""
        box("run", "--rm", "-v", f"{place}:/packed", "-w", "/packed", base, "npm", "pack", "--silent", package)
        return next(place.glob("*.tgz"))

    def test_statsd_counts(self, box: Box, base: str, tmp_path: Path) -> None:
        self.build(box, base, self.packed(box, base, tmp_path, "statsd@0.9.0"))
        box("run", "-d", "-p", "127.0.0.1:8126:8126", "-p", "127.0.0.1:8125:8125/udp", "project")
        told = b""
        deadline = time.monotonic() + 30
        while b"visits" not in told:
            assert time.monotonic() < deadline, told
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"visits:3|c", ("127.0.0.1", 8125))
            time.sleep(0.2)
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", 8126), 5) as line:
                line.sendall(b"counters\n")
                told = line.recv(4096)
        assert re.search(rb"visits: \d*[369]", told)

    def test_gunicorn_is_healthy(self, box: Box, base: str, tmp_path: Path) -> None:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", "gunicorn"]
        subprocess.run([*pip, "gunicorn==27.0.1", "-d", tmp_path], check=True, timeout=300)
        self.build(box, base, next(tmp_path.glob("*.gz")), dockerfile="examples/celery_alternative/Dockerfile")
        box("run", "-d", "--name", "app", "-p", "127.0.0.1:8001:8000", "--health-interval", "1s", "project")
        deadline = time.monotonic() + 60
        while box.out("inspect", "-f", "{{.State.Health.Status}}", "app") != "healthy":
            assert time.monotonic() < deadline, box.out("logs", "app")
            time.sleep(0.5)
        with urllib.request.urlopen("http://127.0.0.1:8001/health", timeout=10) as answer:
            assert json.load(answer)["status"] == "healthy"

    def test_newman_asks_a_server(self, box: Box, base: str, tmp_path: Path) -> None:
        place = "docker/images/alpine/Dockerfile"
        archive = self.packed(box, base, tmp_path, "newman@6.2.2")
        self.build(box, base, archive, "--build-arg", "NEWMAN_VERSION=6.2.2", dockerfile=place)
        script = ["pm.test('it answers', () => pm.response.to.have.status(200))"]
        item = {
            "request": {"method": "GET", "url": "http://web/"},
            "event": [{"listen": "test", "script": {"exec": script}}],
        }
        schema = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
        (tmp_path / "all.json").write_text(json.dumps({"info": {"name": "all", "schema": schema}, "item": [item]}))
        serve = "mkdir /www; echo hi > /www/index.html; httpd -f -h /www"
        box("run", "-d", "--name", "web", "busybox", "sh", "-c", serve)
        said = box.out(
            "run", "--rm", "--link", "web", "-v", f"{tmp_path}:/etc/newman", "project", "run", "all.json"
        )
        assert "it answers" in said
        assert "[200 OK" in said
