"""The server of a secrets backend: it answers `http_backend.HttpBackend`, or fails in the ways of real servers."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Vault:
    """A secrets backend's server: it answers over HTTP, or not at all."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.status = 200
        self.may_answer = threading.Event()
        self.may_answer.set()
        vault = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                vault.may_answer.wait(60)
                secret = vault.secrets.get(self.path.removeprefix("/"))
                self.send_response(vault.status if vault.status != 200 or secret else 404)
                self.end_headers()
                extra = {"callback_secret": secret}
                self.wfile.write(json.dumps({"conn_type": "whiterabbit", "extra": extra}).encode())

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def go(self) -> None:
        """Stop to listen, so that connections are refused."""
        self.may_answer.set()
        self._server.shutdown()
        self._server.server_close()
