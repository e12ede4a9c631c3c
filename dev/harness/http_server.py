"""A small web server in a thread, for what White Rabbit or Airflow sends to."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self


class QuietHandler(BaseHTTPRequestHandler):
    """A handler that logs no requests."""

    def log_message(self, *_arguments: object) -> None:
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    """A web server with room for many requests at once."""

    request_queue_size = 512
    daemon_threads = True


class HttpServer:
    """Listens on a free port of this machine, from its creation on, and answers while it is entered.

    :param handler: answers the requests, each in a thread of its own.
    """

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        self._server = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
