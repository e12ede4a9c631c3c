"""Run a server on a port of its own, with a temporary directory, and remove both afterwards."""

from __future__ import annotations

import os
import socket
import tempfile
from abc import ABC, abstractmethod
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from dev.harness.polling import until
from dev.harness.ports import free_port
from dev.harness.sessions import Sessions


class ServerProcess(ABC):
    """A context manager that runs a server, which can be killed and started again at the same port.

    :raises FileNotFoundError: on entering, if the server is not installed; the message names the package to install.
    """

    name: ClassVar[str]
    """The server's name in messages and in the name of its directory."""

    def __init__(self) -> None:
        self._port = free_port()

    @abstractmethod
    def _prepare(self, folder: Path) -> list[str]:
        """Write the server's files, and return the command that runs the server."""

    def _user(self) -> str | None:
        """Return the user that the server runs as; None for the caller."""
        return None

    def _greets(self, connection: socket.socket) -> bool:
        """Return whether the server, which accepts connections, is ready."""
        return True

    @classmethod
    @abstractmethod
    def program(cls) -> str:
        """Return the path of the server's program.

        :raises FileNotFoundError: if it is not installed.
        """

    def __enter__(self) -> Self:
        self.program()
        user = self._user()
        folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-")).resolve()
        with ExitStack() as stack:
            self._sessions = stack.enter_context(Sessions(os.environ, folder, folder, user))
            self._command = self._prepare(folder)
            self.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    def start(self, timeout: float = 60) -> None:
        """Start the server, which does not run, and wait until it is ready.

        :param timeout: seconds to wait.
        :raises RuntimeError: if the server exits instead; the message contains its output.
        """
        self._sessions.start(self.name, self._command)
        until(self._is_ready, f"{self.name} to accept connections", timeout, interval=0.05)

    def kill(self) -> None:
        """Kill the server, with all its connections."""
        self._sessions.kill(self.name)

    def _is_ready(self) -> bool:
        if self._sessions.dead():
            raise RuntimeError(
                f"{self.name} has exited:\n{self._sessions.output(self.name).read_text(errors='replace')}"
            )
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=5) as connection:
            return self._greets(connection)
        return False
