"""The key by which a machine's SSH server proves who it is."""

from __future__ import annotations

import socket
import time

from devbox.errors import HostError, RefusedError
from devbox.machine.drivers.driver import Endpoint

_ATTEMPT = 10.0
_INTERVAL = 0.3


def quiet() -> None:
    """Keep paramiko from writing what it meets to stderr: that is in the errors that it raises."""
    import logging

    logger = logging.getLogger("paramiko")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def fetch(host: str, port: int, timeout: float) -> str:
    """The key that the server shows, as in known_hosts; waits until it answers, HostError if it never does."""
    import paramiko

    quiet()
    deadline = time.monotonic() + timeout
    while True:
        try:
            return _fetch(host, port)
        except (OSError, EOFError, paramiko.SSHException) as error:
            if time.monotonic() > deadline:
                raise HostError(
                    f"no SSH server answered at {host}:{port} within {timeout:.0f} s: {error}"
                ) from error
        time.sleep(_INTERVAL)


def check(endpoint: Endpoint, timeout: float) -> None:
    """Compare the key that the server shows with the pinned one; RefusedError with both fingerprints."""
    shown = fetch(endpoint.host, endpoint.port, timeout)
    if shown != endpoint.host_key:
        raise RefusedError(
            f"the SSH server at {endpoint.host}:{endpoint.port} has another key than the machine was made with: "
            f"{fingerprint(shown)} instead of {fingerprint(endpoint.host_key)}",
            hint="something else listens there, or the disk was replaced: devbox machine destroy makes it forget",
        )


def fingerprint(key: str) -> str:
    """As ssh-keygen -l shows it: SHA256:..."""
    import base64
    import hashlib

    digest = hashlib.sha256(base64.b64decode(key.split()[1])).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _fetch(host: str, port: int) -> str:
    import paramiko

    with socket.create_connection((host, port), _ATTEMPT) as connection:
        transport = paramiko.Transport(connection)
        options = transport.get_security_options()
        options.key_types = ["ssh-ed25519", *(kind for kind in options.key_types if kind != "ssh-ed25519")]
        try:
            transport.start_client(timeout=_ATTEMPT)
            key = transport.get_remote_server_key()
        finally:
            transport.close()
    return f"{key.get_name()} {key.get_base64()}"
