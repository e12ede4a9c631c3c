"""Run the proxy squid in a temporary directory, and remove both afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Mapping
from pathlib import Path

from dev.harness.server_process import ServerProcess

_ANY_PASSWORD = "/usr/lib/squid/basic_fake_auth"  # noqa: S105
"""A program of Debian's package that accepts every user with every password."""


class Squid(ServerProcess):
    """A context manager that runs squid, which allows only CONNECT, and only with a user name and a password.

    Squid refuses to run as root; if the caller is root, squid runs as the user proxy.

    :param hosts: IP addresses by the host names that the proxy knows, and nobody else.
    """

    name = "squid"

    def __init__(self, hosts: Mapping[str, str]) -> None:
        super().__init__()
        self._hosts = hosts
        self.url = f"http://us%40er:hunter2@127.0.0.1:{self._port}"
        """The proxy's URL, with the user ``us@er``."""

    def _prepare(self, folder: Path) -> list[str]:
        self._log = folder / "access.log"
        (folder / "hosts").write_text("".join(f"{address} {name}\n" for name, address in self._hosts.items()))
        (folder / "squid.conf").write_text(_configuration(folder, self._port))
        if user := self._user():
            shutil.chown(folder, user)
        return [self.program(), "-N", "-f", str(folder / "squid.conf")]

    def _user(self) -> str | None:
        return _unprivileged_user() if os.geteuid() == 0 else None

    def tunnels(self) -> list[str]:
        """Return user, host and port of each tunnel that has ended, as ``us@er whiterabbit.test:443``."""
        return self._log.read_text().splitlines() if self._log.exists() else []

    @classmethod
    def program(cls) -> str:
        """Return the path of squid.

        :raises FileNotFoundError: if squid is not installed.
        """
        found = shutil.which(cls.name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if found is None or not Path(_ANY_PASSWORD).exists():
            raise FileNotFoundError("Debian's squid is not installed: apt install squid")
        return found


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


def _unprivileged_user() -> str:
    try:
        return pwd.getpwnam("proxy").pw_name
    except KeyError:
        raise FileNotFoundError("squid refuses to run as root, and this machine has no user proxy") from None
