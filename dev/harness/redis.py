"""Run a private Redis server in a temporary directory, and remove both afterwards."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from dev.harness.server_process import ServerProcess

_OPTIONS = {"bind": "127.0.0.1", "save": "", "appendonly": "no"}
"""The server listens on loopback only, and stores nothing on disk."""


class Redis(ServerProcess):
    """A context manager that runs a Redis server, which keeps its data in memory only, and loses them with a kill."""

    name = "redis-server"

    def __init__(self) -> None:
        super().__init__()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        """The URL of the server's first database."""

    def _prepare(self, folder: Path) -> list[str]:
        options = _OPTIONS | {"port": str(self._port), "dir": str(folder)}
        return [self.program(), *(argument for name, value in options.items() for argument in (f"--{name}", value))]

    def _greets(self, connection: socket.socket) -> bool:
        connection.sendall(b"PING\r\n")
        return connection.recv(16).startswith(b"+PONG")

    def number(self, command: str) -> int:
        """Send a command whose answer is an integer, such as ``LLEN default``, and return the integer."""
        with socket.create_connection(("127.0.0.1", self._port), timeout=10) as connection:
            connection.sendall(f"{command}\r\n".encode())
            with connection.makefile() as answers:
                return int(answers.readline().removeprefix(":"))

    @classmethod
    def program(cls) -> str:
        """Return the path of Redis's server.

        :raises FileNotFoundError: if Redis is not installed.
        """
        found = shutil.which(cls.name)
        if found is None:
            raise FileNotFoundError("Redis's server is not installed. On Debian and Ubuntu: apt install redis-server")
        return found
