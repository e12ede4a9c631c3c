"""Run a private PostgreSQL server in a temporary directory, and remove both afterwards."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import psutil  # type: ignore[import-untyped]  # comes with Airflow, its stubs don't

from dev.harness.polling import until
from dev.harness.sessions import Sessions

Mode = Literal["fast", "immediate", "kill"]

_SIGNALS: dict[Mode, signal.Signals] = {
    "fast": signal.SIGINT,  # PostgreSQL rolls back open transactions and disconnects the clients
    "immediate": signal.SIGQUIT,  # PostgreSQL drops the connections at once and recovers at the next start
    "kill": signal.SIGKILL,
}
# Folders of the programs on Debian, Red Hat and Homebrew, where they may not be on PATH.
PROGRAM_FOLDERS = (
    "usr/lib/postgresql/*/bin",
    "usr/pgsql-*/bin",
    "opt/homebrew/opt/postgresql*/bin",
    "usr/local/opt/postgresql*/bin",
)
_SERVER = "postgres"
_OPTIONS = {
    "listen_addresses": "",
    "fsync": "off",
    "max_connections": "300",  # each of Airflow's processes opens up to fifteen connections
}


class Postgres:
    """A context manager that runs a PostgreSQL server.

    Clients reach the server only by a Unix socket in a private directory. The server therefore needs no port, which
    another program could take while the server is stopped, and no password. PostgreSQL refuses to run as root; if the
    caller is root, the server runs as the user postgres.

    :param options: further options of the server, by their names.
    :raises FileNotFoundError: on entering, if PostgreSQL is not installed; the message names the packages to install.
    """

    def __init__(self, options: Mapping[str, str] | None = None) -> None:
        self._options = dict(options or {})

    def __enter__(self) -> Self:
        self._programs = programs()
        is_root = os.geteuid() == 0
        user = _unprivileged_user() if is_root else None
        self.folder = Path(tempfile.mkdtemp(prefix="pg-")).resolve()
        if user:
            shutil.chown(self.folder, user)
        self._data = self.folder / "data"
        with ExitStack() as stack:
            self._sessions = stack.enter_context(Sessions(os.environ | {"LC_ALL": "C"}, self.folder, self.folder, user))
            self._run("initdb", "-D", str(self._data), "-A", "trust", "-U", "airflow", "-E", "UTF8", "--no-sync")
            stack.callback(self.stop, "immediate")
            self.start()
            self._run("createdb", "-h", str(self.folder), "-U", "airflow", "airflow")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """The SQLAlchemy URL of the database."""
        return f"postgresql+psycopg2://airflow@/airflow?host={self.folder}"

    def start(self, timeout: float = 60) -> None:
        """Start the stopped server and wait until it accepts connections.

        :param timeout: seconds to wait.
        :raises RuntimeError: if the server exits instead; the message contains its output.
        """
        options = _OPTIONS | self._options | {"unix_socket_directories": str(self.folder)}
        settings = [f"-c{name}={value}" for name, value in options.items()]
        self._sessions.start(_SERVER, [str(self._programs / _SERVER), "-D", str(self._data), *settings])
        until(self._is_ready, "PostgreSQL to accept connections", timeout, interval=0.05)

    def _is_ready(self) -> bool:
        if self._sessions.dead():
            raise RuntimeError(f"PostgreSQL has exited:\n{self._sessions.output(_SERVER).read_text(errors='replace')}")
        (server, *_) = self._sessions.processes(_SERVER)
        # The file's first line is the server's process id, its last line the state. A killed server leaves its file.
        with suppress(FileNotFoundError):
            lines = (self._data / "postmaster.pid").read_text().split()
            return lines[:1] == [str(server.pid)] and lines[-1] == "ready"
        return False

    def stop(self, mode: Mode = "fast") -> None:
        """Stop the server and wait until all its processes have exited; do nothing if the server does not run.

        :param mode: one of PostgreSQL's shutdown modes, or ``"kill"`` for SIGKILL.
        """
        if _SERVER not in self._sessions:
            return
        backends: list[psutil.Process] = []
        for server in self._sessions.processes(_SERVER):
            backends += server.children()  # each of them leads its own session
            server.send_signal(_SIGNALS[mode])
        until(self._sessions.dead, "PostgreSQL to exit", 60, interval=0.05)
        until(lambda: not any(map(psutil.Process.is_running, backends)), "PostgreSQL's processes to exit", 60, 0.05)
        self._sessions.stop(_SERVER)

    def freeze(self) -> None:
        """Suspend the server's processes (SIGSTOP) until `thaw`. Clients stay connected, and get no answer."""
        (server, *_) = self._sessions.processes(_SERVER)
        server.suspend()  # it starts no further processes
        self._frozen = [server, *server.children()]
        for process in self._frozen:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        until(lambda: not any(map(_runs, self._frozen)), "PostgreSQL's processes to stand still", 60, 0.01)

    def thaw(self) -> None:
        """Resume the processes that `freeze` has suspended."""
        for process in self._frozen:
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def _run(self, program: str, *arguments: str) -> None:
        self._sessions.run(program, [str(self._programs / program), *arguments])


def _runs(process: psutil.Process) -> bool:
    """Return whether a process has neither ended nor been suspended; a signal takes a moment."""
    try:
        return process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def programs(patterns: Iterable[str] = PROGRAM_FOLDERS) -> Path:
    """Return the folder of PostgreSQL's programs: the folder on PATH, or that of the newest installed version.

    :param patterns: globs below ``/`` for folders that may not be on PATH.
    :raises FileNotFoundError: if PostgreSQL's server is not installed.
    """
    folders = [Path(path).resolve().parent for path in [shutil.which("initdb")] if path]
    for pattern in patterns:
        folders += sorted(Path("/").glob(pattern), key=_version, reverse=True)
    for folder in folders:
        if all((folder / program).exists() for program in ("initdb", "createdb", _SERVER)):
            return folder
    raise FileNotFoundError(
        "PostgreSQL's server is not installed. On Debian and Ubuntu: apt install postgresql; "
        "on Fedora: dnf install postgresql-server; on macOS: brew install postgresql@17"
    )


def _version(folder: Path) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", str(folder))]


def _unprivileged_user() -> str:
    """Return the name of the user that the server runs as if the caller is root."""
    try:
        return pwd.getpwnam("postgres").pw_name
    except KeyError:
        raise FileNotFoundError("PostgreSQL refuses to run as root, and this machine has no user postgres") from None
