"""Outages: refused and reset connections."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

import pytest
import requests

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.polling import until
from tests.emulator.api_client import CATALOGUE


def accepts_connections(url: str) -> bool:
    """Return whether the emulator answers a request."""
    try:
        return requests.get(url + CATALOGUE, timeout=60).status_code == 200
    except requests.ConnectionError:
        return False


def test_an_outage(wr, client):
    """In an outage, open streams break and new connections are refused, while executions continue."""
    execution_id = wr.create_execution("X", manual=True)
    stream = client.stream(execution_id)
    wr.wait_for_stream(execution_id)
    wr.pause()
    with pytest.raises(requests.RequestException):
        _ = stream.content
    with pytest.raises(requests.ConnectionError, match="refused"):
        client.record(execution_id)
    wr.complete(execution_id, 1)
    wr.resume()
    wr.resume()
    assert client.record(execution_id)["output"] == 1


def test_a_connection_as_an_outage_begins(wr):
    """A connection that is accepted just before an outage is reset, rather than left open without an answer."""
    address = wr.url.removeprefix("http://").split(":")
    for _ in range(50):
        with socket.create_connection(address, 60) as connection, suppress(ConnectionError):
            wr.pause()
            assert not connection.recv(1)
        wr.resume()


@pytest.mark.parametrize("over_http", [False, True])
def test_an_outage_that_ends_by_itself(wr, client, over_http):
    """An outage of some seconds ends by itself; over HTTP, its request is answered before the outage begins."""
    execution_id = wr.create_execution("X", manual=True)

    def begin_outage(seconds):
        stream = client.stream(execution_id)
        wr.wait_for_stream(execution_id)
        if over_http:
            client.control("pause", {"seconds": seconds})
        else:
            wr.pause(seconds)
        with pytest.raises(requests.RequestException):
            _ = stream.content

    begin_outage(600)  # far longer than the next request takes, however busy the machine is
    with pytest.raises(requests.ConnectionError, match="refused"):
        client.record(execution_id)
    wr.resume()
    begin_outage(0.1)
    until(lambda: accepts_connections(wr.url), "the outage to end", 60, 0.02)
    assert client.record(execution_id)["status"] == "CREATED"


def test_the_scheduled_end_of_an_earlier_outage(wr, client):
    """The end of an outage of some seconds does not end a later outage, and does not delay the stop of the emulator."""
    wr.pause(0.1)
    wr.pause()
    time.sleep(0.2)
    assert not accepts_connections(wr.url)
    wr.resume()
    assert accepts_connections(wr.url)
    with Emulator() as emulator:
        emulator.pause(60)


@pytest.mark.parametrize("over_http", [False, True])
def test_cut_connections(wr, client, over_http):
    """The given number of connections is reset before their requests arrive, until a reset of the emulator."""
    if over_http:
        client.control("connections/cut", {"count": 2})
    else:
        wr.cut_connections(2)
    assert [accepts_connections(wr.url) for _ in range(3)] == [False, False, True]
    assert len(wr.journal) == 1
    wr.cut_connections(1)
    wr.reset()
    assert accepts_connections(wr.url)
    assert requests.post(f"{wr.url}/_emulator/connections/cut", json={"count": -1}, timeout=60).status_code == 422
    assert requests.post(f"{wr.url}/_emulator/pause", json={"seconds": -1}, timeout=60).status_code == 422


def test_a_reset_ends_an_outage(wr, client):
    """A reset of the emulator ends an outage."""
    wr.pause()
    wr.reset()
    assert client.submit("RANDOM_UUID")["status"] == "CREATED"
