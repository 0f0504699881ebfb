"""Registries on loopback: Debian's docker-registry, and one of our own that misbehaves as it is told."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import ipaddress
import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.engine.image_archives import CONFIG, LAYER, MANIFEST, as_json, config, sha256

USER, PASSWORD = "ali", "open sesame"
_HTPASSWD = "ali:$2y$04$abcdefghijklmnopqrstuu/LVz6MZlItEy42I2juLihZ66HnQx/cy\n"
STRICT = "127.1"
"""this machine by a name that is not taken for it, so that it is not trusted blindly"""


class Registry:
    """A docker-registry that runs."""

    def __init__(self, place: Path, port: int, name: str) -> None:
        self.place = place
        self.port = port
        self.host = f"{name}:{port}"

    def requests(self, wanted: str) -> list[str]:
        """Lines of its log, "METHOD path", in which there is a text."""
        found = re.findall(r'"(\w+ \S+) HTTP/1.1"', (self.place / "log").read_text())
        return [line for line in found if wanted in line]

    def forget_requests(self) -> None:
        os.truncate(self.place / "log", 0)


@contextlib.contextmanager
def registry(
    place: Path, *, tls: bool = False, password: bool = False, name: str = "localhost", address: str = "127.0.0.1"
) -> Iterator[Registry]:
    """Start one and stop it at the end."""
    place.mkdir(parents=True, exist_ok=True)
    port = free_port()
    settings: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(place / "data")}, "delete": {"enabled": True}},
        "http": {"addr": f"{address}:{port}"},
    }
    if tls:
        make_certificate(place, address)
        settings["http"]["tls"] = {"certificate": str(place / "tls.crt"), "key": str(place / "tls.key")}
    if password:
        (place / "htpasswd").write_text(_HTPASSWD)
        settings["auth"] = {"htpasswd": {"realm": "here", "path": str(place / "htpasswd")}}
    (place / "config.yml").write_text(json.dumps(settings))  # JSON is YAML
    with (place / "log").open("ab") as log:
        # it would take REGISTRY_AUTH_FILE of ours for a setting of its own
        env = {"PATH": os.environ["PATH"]}
        command = ["docker-registry", "serve", str(place / "config.yml")]
        server = subprocess.Popen(command, stdout=log, stderr=log, env=env)
    try:
        wait_until_open(port, address)
        yield Registry(place, port, name)
    finally:
        server.terminate()
        server.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_open(port: int, address: str = "127.0.0.1") -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection((address, port), 1):
            return
        time.sleep(0.02)
    raise AssertionError("the registry did not start")


def make_certificate(place: Path, address: str = "127.0.0.1") -> None:
    """A certificate for this machine that signs itself: tls.crt and tls.key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "devbox test")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(STRICT), x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(address))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (place / "tls.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (place / "tls.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))


class Liar:
    """A registry in this process with one image, "x:1"; its answers can be changed by path."""

    def __init__(self, layers: list[bytes], **fields: Any) -> None:
        self.blobs: dict[str, bytes] = {}
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.answers: dict[str, Callable[[Handler], None]] = {}
        document = config(layers, **fields)
        self.layers = [self.add(layer) for layer in layers]
        self.config = self.add(document)
        shape = {"schemaVersion": 2, "mediaType": MANIFEST}
        described = [{**one, "mediaType": LAYER} for one in self.layers]
        self.manifest: Any = {**shape, "config": {**self.config, "mediaType": CONFIG}, "layers": described}
        self.raw: bytes | None = None
        self.host = ""

    def add(self, data: bytes) -> dict[str, Any]:
        self.blobs[sha256(data)] = data
        return {"digest": sha256(data), "size": len(data)}

    def requests(self, wanted: str) -> list[str]:
        return [f"{method} {path}" for method, path, _ in self.seen if wanted in path]

    def answer(self, path: str, act: Callable[[Handler], None]) -> None:
        self.answers[path] = act

    def blob_path(self, number: int = 0) -> str:
        return f"/v2/x/blobs/{self.layers[number]['digest']}"

    @property
    def document(self) -> bytes:
        return as_json(self.manifest) if self.raw is None else self.raw


class Handler(http.server.BaseHTTPRequestHandler):
    """One request to a Liar."""

    protocol_version = "HTTP/1.1"
    liar: Liar

    def do_GET(self) -> None:
        self.liar.seen.append((self.command, self.path, dict(self.headers)))
        path = self.path.partition("?")[0]
        if path in self.liar.answers:
            self.liar.answers[path](self)
        elif path.startswith("/v2/x/manifests/"):
            self.reply(200, self.liar.document, {"Content-Type": MANIFEST})
        elif path.rpartition("/")[2] in self.liar.blobs:
            self.blob(self.liar.blobs[path.rpartition("/")[2]])
        else:
            self.reply(200 if path == "/v2/" else 404, b"{}")

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815

    def blob(self, data: bytes) -> None:
        """All of it, or from where a Range says."""
        if found := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            begin = int(found[1])
            self.reply(206, data[begin:], {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}"})
        else:
            self.reply(200, data)

    def reply(self, status: int, data: bytes = b"", headers: dict[str, str] | None = None, size: int = -1) -> None:
        """An answer; `size` is what it says its size is."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data) if size < 0 else size), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def cut(self) -> None:
        """Break the line off."""
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def serving(liar: Liar) -> Iterator[Liar]:
    """Let it answer on a port of loopback."""
    handler = type("Own", (Handler,), {"liar": liar})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        liar.host = f"localhost:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield liar
        finally:
            server.shutdown()
            thread.join()
