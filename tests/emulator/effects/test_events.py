"""Effects on the events of a stream: functions, newlines, combinations, and the streams of runs."""

from __future__ import annotations

import json
from typing import Any

from airflow_provider_whiterabbit.emulator import effects
from tests.emulator.effects.received import STATUSES, TIMEOUT, completed, receive, receive_stream


def test_events_by_a_function(wr, client):
    """The function may return events, text and bytes for an event, and may change the data that it gets."""
    numbers = []

    def change(number: int, event: dict[str, Any]) -> list[Any]:
        numbers.append(number)
        event["status"] = event["status"].lower()
        return [event, "{garbage", b": comment\n\n"] if number == 1 else [] if number == 2 else [event]

    wr.fault(effects.Events(change), kind="stream")
    received = receive_stream(wr, client)
    assert numbers == [1, 2, 3]
    assert [json.loads(received.events[0])["status"], received.events[1]] == ["created", b"{garbage"]
    assert b"\n\n: comment\n\n" in received.body
    assert json.loads(received.events[2])["status"] == "completed"
    assert receive_stream(wr, client).statuses == STATUSES


def test_linger_after_a_dropped_terminal_event(wr, client, add):
    """`Drop` and `Linger` together: the client receives pings instead of the terminal event."""
    wr.stream_options(ping_interval=None)
    add(effects.Drop("terminal"), kind="stream")
    add(effects.Linger(0.01), kind="stream")
    with client.stream(execution_id := completed(wr, 1)) as stream:
        assert stream.raw.read(14) == b":ping\n\n:ping\n\n"
    wr.wait_for_stream(execution_id, count=0)


def test_the_stream_of_a_run(wr, client, add):
    """Effects choose and change the events of a run's stream as they do on an execution's."""
    wr.script_workflow("flow", [{"module": "A", "manual": True}])
    run_id = wr.create_run("flow")
    add(effects.Alter({"status": "PAUSED"}, event=1), kind="run_stream")
    add(effects.Drop("terminal"), kind="run_stream")

    def complete() -> None:
        wr.start_stage(run_id, 0)
        wr.complete_stage(run_id, 0)

    path = "/v1/sdk/workflows/executions"
    received = receive(lambda: client.stream(run_id, path, timeout=TIMEOUT), run_id, complete)
    assert received.statuses[0] == "PAUSED"
    assert "COMPLETED" not in received.statuses
    assert not received.error
    assert client.get(f"{path}/{run_id}").json()["status"] == "COMPLETED"


def test_newlines(wr, client):
    """A changed event has the same newlines as the other events of its stream."""
    wr.stream_options(newline="\r\n")
    wr.fault(effects.Alter({"status": "PAUSED"}), kind="stream")
    body = client.stream(client.submit()["id"]).content
    assert body.endswith(b"}\r\n\r\n")
    assert b"PAUSED" in body
