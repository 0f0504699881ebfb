"""The demo's web application: it counts its visitors in redis, which it finds by the name that the link gave it.

`devbox demo` copies this file to a directory of the host and mounts that into the container.
"""

import os
import runpy
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GREETING = "Hello from devbox"


def page() -> str:
    """What a visitor sees."""
    return f"{GREETING}: visit {redis('INCR', 'visits')}, counted by redis at {os.environ['DB_PORT']}\n"


def redis(*words: str) -> int:
    """Send one command to redis and read the number that it answers."""
    request = f"*{len(words)}\r\n" + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    port = int(os.environ["DB_PORT_6379_TCP_PORT"])
    with socket.create_connection(("db", port), timeout=5) as connection, connection.makefile("rb") as reply:
        connection.sendall(request.encode())
        answer = reply.readline().decode().strip()
    if not answer.startswith(":"):
        raise RuntimeError(f"redis says {answer}")
    return int(answer[1:])


class Handler(BaseHTTPRequestHandler):
    """Answers every request with the page of the source as it is now."""

    def do_GET(self) -> None:
        """Read this file anew, so that an edit counts for the next request."""
        try:
            status, text = 200, runpy.run_path(__file__)["page"]()
        except Exception as error:  # noqa: BLE001 - whatever an edit broke, the server goes on and shows it
            status, text = 500, f"{type(error).__name__}: {error}\n"
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    ThreadingHTTPServer(("", 8000), Handler).serve_forever()
