"""Run the proxy squid in a temporary directory, and remove both afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from dev.harness.polling import until
from dev.harness.ports import free_port
from dev.harness.sessions import Sessions

_SQUID = "squid"
_ANY_PASSWORD = "/usr/lib/squid/basic_fake_auth"  # noqa: S105
"""A program of Debian's package that accepts every user with every password."""


class Squid:
    """A context manager that runs squid, which allows only CONNECT, and only with a user name and a password.

    Squid refuses to run as root; if the caller is root, squid runs as the user proxy.

    :param hosts: IP addresses by the host names that the proxy knows, and nobody else.
    :raises FileNotFoundError: on entering, if squid is not installed; the message names the package to install.
    """

    def __init__(self, hosts: Mapping[str, str]) -> None:
        self._hosts = hosts
        self._port = free_port()
        self.url = f"http://us%40er:hunter2@127.0.0.1:{self._port}"
        """The proxy's URL, with the user ``us@er``."""

    def __enter__(self) -> Self:
        self._program = program()
        user = _unprivileged_user() if os.geteuid() == 0 else None
        folder = Path(tempfile.mkdtemp(prefix="squid-")).resolve()
        self._log = folder / "access.log"
        (folder / "hosts").write_text("".join(f"{address} {name}\n" for name, address in self._hosts.items()))
        (folder / "squid.conf").write_text(_configuration(folder, self._port))
        if user:
            shutil.chown(folder, user)
        with ExitStack() as stack:
            self._sessions = stack.enter_context(Sessions(os.environ, folder, folder, user))
            self._command = [self._program, "-N", "-f", str(folder / "squid.conf")]
            self.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    def start(self, timeout: float = 60) -> None:
        """Start squid, which does not run, and wait until it accepts connections.

        :param timeout: seconds to wait.
        :raises RuntimeError: if squid exits instead; the message contains its output.
        """
        self._sessions.start(_SQUID, self._command)
        until(self._is_ready, "squid to accept connections", timeout, interval=0.05)

    def kill(self) -> None:
        """Kill squid, with all its connections."""
        self._sessions.kill(_SQUID)

    def tunnels(self) -> list[str]:
        """Return user, host and port of each tunnel that has ended, as ``us@er whiterabbit.test:443``."""
        return self._log.read_text().splitlines() if self._log.exists() else []

    def _is_ready(self) -> bool:
        if self._sessions.dead():
            raise RuntimeError(f"squid has exited:\n{self._sessions.output(_SQUID).read_text(errors='replace')}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=5):
            return True
        return False


def _configuration(folder: Path, port: int) -> str:
    return f"""
        http_port 127.0.0.1:{port}
        hosts_file {folder}/hosts
        auth_param basic program {_ANY_PASSWORD}
        acl users proxy_auth REQUIRED
        acl tunnels method CONNECT
        http_access allow tunnels users
        http_access deny all
        logformat tunnel %un %ru
        access_log stdio:{folder}/access.log logformat=tunnel tunnels
        cache_log stdio:/dev/stderr
        cache deny all
        pid_filename none
        coredump_dir {folder}
        pinger_enable off
        max_filedescriptors 1024
        shutdown_lifetime 0 seconds
    """.replace("\n        ", "\n")


def program() -> str:
    """Return the path of squid.

    :raises FileNotFoundError: if squid is not installed.
    """
    found = shutil.which(_SQUID, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None or not Path(_ANY_PASSWORD).exists():
        raise FileNotFoundError("Debian's squid is not installed: apt install squid")
    return found


def _unprivileged_user() -> str:
    try:
        return pwd.getpwnam("proxy").pw_name
    except KeyError:
        raise FileNotFoundError("squid refuses to run as root, and this machine has no user proxy") from None
