"""moto's S3 server on the loopback address, counting the bytes that it serves; for `stream.py`."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

COUNT = "/bytes-served"


class Counting:
    """A WSGI application that counts what another one answers to GET."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self.application, self.served, self.requests = application, 0, 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request."""
        if environ["PATH_INFO"] == COUNT:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [f"{self.served} {self.requests}".encode()]

        def counted(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            self.requests += 1
            if environ["REQUEST_METHOD"] == "GET":
                self.served += sum(int(value) for name, value in headers if name.lower() == "content-length")
            return start_response(status, headers, *more)

        return self.application(environ, counted)


@contextmanager
def serving() -> Iterator[int]:
    """Run the server in a process of its own; yield its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen([sys.executable, __file__, str(port)], stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield port
    finally:
        server.kill()
        server.wait()


def served(port: int) -> tuple[int, int]:
    """Return the bytes that the server has answered to GET, and the requests of all kinds."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{COUNT}") as answer:
        count, requests = answer.read().split()
    return int(count), int(requests)


if __name__ == "__main__":
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        MotoRequestHandler,
        create_backend_app,
    )
    from werkzeug.serving import run_simple

    application = Counting(DomainDispatcherApplication(create_backend_app))
    run_simple("127.0.0.1", int(sys.argv[1]), application, threaded=True, request_handler=MotoRequestHandler)
