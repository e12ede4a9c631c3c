"""Run a private Redis server in a temporary directory, and remove both afterwards."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from dev.harness.polling import until
from dev.harness.ports import free_port
from dev.harness.sessions import Sessions

_SERVER = "redis-server"
_OPTIONS = {"bind": "127.0.0.1", "save": "", "appendonly": "no"}
"""The server listens on loopback only, and stores nothing on disk."""


class Redis:
    """A context manager that runs a Redis server, which keeps its data in memory only.

    :raises FileNotFoundError: on entering, if Redis is not installed; the message names the package to install.
    """

    def __init__(self) -> None:
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        """The URL of the server's first database."""

    def __enter__(self) -> Self:
        self._program = program()
        self._folder = Path(tempfile.mkdtemp(prefix="redis-")).resolve()
        with ExitStack() as stack:
            self._sessions = stack.enter_context(Sessions(os.environ, self._folder, self._folder))
            self.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    def start(self, timeout: float = 60) -> None:
        """Start the server, which does not run, without data; wait until it answers.

        :param timeout: seconds to wait.
        :raises RuntimeError: if the server exits instead; the message contains its output.
        """
        options = _OPTIONS | {"port": str(self._port), "dir": str(self._folder)}
        arguments = [argument for name, value in options.items() for argument in (f"--{name}", value)]
        self._sessions.start(_SERVER, [self._program, *arguments])
        until(self._is_ready, "Redis to answer", timeout, interval=0.05)

    def kill(self) -> None:
        """Kill the server, which loses its data and all connections."""
        self._sessions.kill(_SERVER)

    def _is_ready(self) -> bool:
        if self._sessions.dead():
            raise RuntimeError(f"Redis has exited:\n{self._sessions.output(_SERVER).read_text(errors='replace')}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
        return False


def program() -> str:
    """Return the path of Redis's server.

    :raises FileNotFoundError: if Redis is not installed.
    """
    found = shutil.which(_SERVER)
    if found is None:
        raise FileNotFoundError("Redis's server is not installed. On Debian and Ubuntu: apt install redis-server")
    return found
