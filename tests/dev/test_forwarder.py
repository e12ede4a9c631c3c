"""The forwarder of the cluster reaches the servers in turns, and the others if one of them is gone."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import requests

from dev.harness.forwarder import Forwarder
from dev.harness.http_server import HttpServer, QuietHandler
from dev.harness.ports import free_port


class Named(HttpServer):
    """A server that answers with its name, and repeats what it gets."""

    def __init__(self, name: str) -> None:
        class Handler(QuietHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(name.encode())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response(200)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        super().__init__(Handler)


@pytest.fixture
def front() -> Iterator[Forwarder]:
    """Run a forwarder."""
    with Forwarder() as front:
        yield front


def name_behind(front: Forwarder) -> str:
    """Return the name of the server that answers a new connection."""
    return requests.get(front.url, timeout=60).text


def test_turns(front: Forwarder) -> None:
    """New connections reach the servers in turns, and only the other server once one of them is gone."""
    with Named("one") as one:
        with Named("two") as two:
            front.set_targets([one.url, two.url])
            assert sorted(name_behind(front) for _ in range(4)) == ["one", "one", "two", "two"]
        assert {name_behind(front) for _ in range(4)} == {"one"}


def test_bytes(front: Forwarder) -> None:
    """All bytes of a large request and its answer arrive."""
    body = bytes(range(256)) * 20_000
    with Named("one") as one:
        front.set_targets([one.url])
        assert requests.post(front.url, data=body, timeout=30).content == body


@pytest.mark.parametrize("targets", [[], [f"http://127.0.0.1:{free_port()}"]])
def test_no_server(front: Forwarder, targets: list[str]) -> None:
    """A connection that no server accepts is closed without an answer."""
    front.set_targets(targets)
    with pytest.raises(requests.ConnectionError):
        name_behind(front)


def test_a_server_that_dies(front: Forwarder) -> None:
    """A connection breaks when its server does, even if nobody has sent anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        front.set_targets([f"http://127.0.0.1:{listening.getsockname()[1]}"])
        with socket.create_connection(("127.0.0.1", int(front.url.rpartition(":")[2])), timeout=60) as client:
            server, _ = listening.accept()
            server.close()
            assert client.recv(1) == b""


def test_the_end_ends_connections(caplog: pytest.LogCaptureFixture) -> None:
    """Connections that are open do not outlive the forwarder, and their end is no error."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        with Forwarder() as front:
            front.set_targets([f"http://127.0.0.1:{listening.getsockname()[1]}"])
            client = socket.create_connection(("127.0.0.1", int(front.url.rpartition(":")[2])), timeout=60)
            server, _ = listening.accept()
        with client, server:
            assert client.recv(1) == server.recv(1) == b""
    assert not caplog.records
