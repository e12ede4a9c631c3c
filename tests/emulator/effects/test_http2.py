"""The emulator's HTTP/2: each effect on a stream and on a record, and what only HTTP/2 has."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import pytest
import requests

from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.emulator.__main__ import main
from tests.emulator.api_client import CATALOGUE, COMPONENTS
from tests.emulator.effects.received import RECORD, STATUSES, Received, completed
from tests.emulator.effects.test_effects import ON_RECORDS, ON_STREAMS, case_id, timeout_for

h2 = pytest.importorskip("h2", reason="needs the extra http2")

from tests.emulator.http2_client import Http2Client  # noqa: E402

PROTOCOL_ERROR = 1
SUBMISSION = '{"module":"X","input":{},"config":{}}'


@pytest.fixture(scope="module")
def http2_server() -> Iterator[Emulator]:
    """Return an emulator that offers HTTP/2."""
    with Emulator(certificate="trusted", http2=True, components=["X", "TASKS"]) as emulator:
        yield emulator


@pytest.fixture
def wr(http2_server: Emulator) -> Emulator:
    """Return the emulator that offers HTTP/2, reset."""
    http2_server.reset()
    return http2_server


def stream_of(execution_id: str) -> str:
    """Return the path of an execution's stream."""
    return f"{RECORD.format(execution_id)}/stream"


def receive_stream(wr: Emulator, timeout: float = 60) -> Received:
    """Follow a new execution that starts and completes after the headers of its stream."""
    execution_id = wr.create_execution("X", manual=True)
    with Http2Client(wr, timeout) as client:
        stream = client.send(stream_of(execution_id), identity=execution_id)
        client.read_until(lambda: client.received[stream].status or client.received[stream].error)
        wr.start(execution_id)
        wr.complete(execution_id, {"x": 1})
        return client.read(stream)


def receive_record(wr: Emulator, timeout: float = 60) -> Received:
    """Read the record of a new execution that has completed."""
    execution_id = completed(wr, {"x": 1})
    with Http2Client(wr, timeout) as client:
        return client.read(client.send(RECORD.format(execution_id), identity=execution_id))


@pytest.mark.parametrize(("effect", "expected"), ON_STREAMS, ids=case_id)
def test_effect_on_a_stream(wr, effect, expected):
    """The first stream gets the effect, and the next stream is complete."""
    wr.fault(effect, kind="stream")
    received = receive_stream(wr, timeout_for(effect))
    assert expected(received), received
    assert receive_stream(wr).statuses == STATUSES


@pytest.mark.parametrize(("effect", "expected"), ON_RECORDS, ids=case_id)
def test_effect_on_a_record(wr, effect, expected):
    """The first read of a record gets the effect, and the next read returns the record."""
    wr.fault(effect, kind="record")
    received = receive_record(wr, timeout_for(effect))
    assert expected(received), received
    assert receive_record(wr).json["output"] == {"x": 1}


def test_both_protocols(wr):
    """Clients choose; the journal tells what they have chosen."""
    with Http2Client(wr) as client:
        assert client.read(client.send(CATALOGUE)).status == 200
    assert requests.get(wr.url + CATALOGUE, verify=wr.ca_bundle, timeout=60).ok
    assert [entry.http_version for entry in wr.journal] == ["2", "1.1"]
    assert wr.journal[0].to_dict()["httpVersion"] == "2"


def test_submission(wr):
    """A request may have a body; a body over the limit answers 413."""
    wr.settings.max_body = 100_000
    with Http2Client(wr) as client:
        record = client.read(client.send(COMPONENTS, SUBMISSION, "POST")).json
        assert wr.execution(record["id"])["module"] == "X"
        assert client.read(client.send(COMPONENTS, " " * 30_000 + SUBMISSION, "POST")).status in (200, 401)
        wr.settings.max_body = 10
        assert client.read(client.send(COMPONENTS, " " * 30_000 + SUBMISSION, "POST")).status == 413
        assert client.read(client.send(CATALOGUE)).status == 200


def test_reset_of_one_of_two_streams(wr):
    """RST_STREAM ends one stream, and no other."""
    execution_id = wr.create_execution("X", manual=True)
    wr.fault(effects.Reset("body", events=1), kind="stream")
    with Http2Client(wr) as client:
        first, second = client.send(stream_of(execution_id)), client.send(stream_of(execution_id))
        assert client.read(first).is_reset
        client.read_until(lambda: client.received[second].body)
        wr.complete(execution_id)
        assert client.read(second).statuses == ["CREATED", "COMPLETED"]
        assert client.go_aways == []


def test_go_away(wr):
    """An unclean end tells GOAWAY, and ends all streams of the connection."""
    execution_id = wr.create_execution("X", manual=True)
    with Http2Client(wr) as client:
        other = client.send(stream_of(execution_id))
        client.read_until(lambda: client.received[other].body)
        wr.fault(effects.Close(extra=9, clean=False), kind="record")
        assert client.read(client.send(RECORD.format(execution_id))).is_incomplete
        assert client.received[other].is_incomplete
        assert client.go_aways == [0]


def test_a_large_answer_leaves_room_for_others(wr):
    """While a large answer waits for the client's window, other requests of the connection are answered."""
    execution_id = completed(wr, {"x": 1})
    wr.fault(effects.Enlarge(3_000_000), kind="record")
    with Http2Client(wr) as client:
        large = client.send(RECORD.format(execution_id))
        small = client.send(CATALOGUE)
        assert client.read(small).status == 200
        assert len(client.received[large].body) < 3_000_000
        assert len(client.read(large).json["output"]) == 3_000_000


def test_a_client_that_gives_up(wr):
    """A stream that its client resets is closed, and its connection serves others."""
    execution_id = wr.create_execution("X", manual=True)
    with Http2Client(wr) as client:
        stream = client.send(stream_of(execution_id))
        wr.wait_for_stream(execution_id)
        client.close_stream(stream)
        wr.wait_for_stream(execution_id, count=0)
        assert client.read(client.send(CATALOGUE)).status == 200
    assert wr.requests(kind="stream")[0].status == 200


def test_outages(wr):
    """Outages and cut connections work as with HTTP/1.1; an outage that is begun over HTTP/2 is answered first."""
    execution_id = wr.create_execution("X", manual=True)
    with Http2Client(wr) as client:
        stream = client.send(stream_of(execution_id))
        wr.wait_for_stream(execution_id)
        pause = client.send("/_emulator/pause", '{"seconds":0.01}', "POST")
        assert client.read(pause).status == 200
        assert client.read(stream).error
    wr.resume()
    wr.cut_connections(1)
    with suppress(OSError), Http2Client(wr) as client:  # whether it notices at once depends on the moment
        assert client.read(client.send(CATALOGUE)).status is None
    assert receive_record(wr).status == 200


def test_stop_and_start(wr):
    """A server that stops says GOAWAY; its streams have ended cleanly before."""
    execution_id = wr.create_execution("X", manual=True)
    with Http2Client(wr) as client:
        stream = client.send(stream_of(execution_id))
        wr.wait_for_stream(execution_id)
        wr.stop_server()
        assert client.read(stream).statuses == ["CREATED"]
        assert not client.received[stream].error
        client.read_until(lambda: client.go_aways)
        assert client.go_aways == [0]
    wr.start_server()
    assert receive_record(wr).status == 200


def test_a_fault_whose_function_raises(wr, caplog):
    """An exception in the function of `Events` breaks the answer off, and is logged."""
    wr.fault(effects.Events(lambda number, data: [data] if number == 1 else 1 / 0), kind="stream")
    got = receive_stream(wr)
    assert (got.statuses, got.is_reset) == (STATUSES[:1], True)
    assert "ZeroDivisionError" in caplog.text


def test_a_client_that_breaks_the_rules(wr):
    """A frame that no client may send ends its connection with GOAWAY, and no other connection."""
    with Http2Client(wr) as client:
        assert client.read(client.send(CATALOGUE)).status == 200
        client.send_bytes(b"\0\0\1" + bytes(6) + b"x")  # DATA on stream 0
        client.read_until(lambda: client.go_aways)
        assert client.go_aways == [PROTOCOL_ERROR]
    assert receive_record(wr).status == 200


def test_needs_a_certificate(capsys):
    """HTTP/2 needs TLS, in Python and on the command line."""
    with pytest.raises(ValueError, match="http2 needs a certificate"):
        Emulator(http2=True)
    assert main(["--http2"]) == 1
    assert "http2 needs a certificate" in capsys.readouterr().err


def test_needs_the_extra():
    """Without the extra, the error says what to install; without HTTP/2, the emulator does not need it."""
    program = (
        "import sys; sys.modules['h2'] = None\n"
        "from airflow_provider_whiterabbit.emulator import Emulator\n"
        "Emulator(certificate='trusted')\n"
        "Emulator(certificate='trusted', http2=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "pip install 'airflow-provider-whiterabbit[emulator,http2]'" in done.stderr
    assert json.dumps(done.stderr).count("Emulator(certificate='trusted')\\n") == 0
