"""The Redis server of the cluster starts without the data that it had, at the same address."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from dev.harness.redis import Redis


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    """Run a Redis server."""
    try:
        Redis.program()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    with Redis() as redis:
        yield redis


def ask(redis: Redis, command: str) -> str:
    """Send a command and return the answer."""
    port = int(redis.url.rpartition(":")[2].partition("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection, connection.makefile() as answers:
        connection.sendall(f"{command}\r\n".encode())
        return answers.readline().strip()


def test_kill(redis: Redis) -> None:
    """After a kill and a start, the server has lost its data."""
    assert ask(redis, "SET task 1") == "+OK"
    assert ask(redis, "EXISTS task") == ":1"
    redis.kill()
    with pytest.raises(OSError, match="refused"):
        ask(redis, "PING")
    redis.start()
    assert ask(redis, "EXISTS task") == ":0"
