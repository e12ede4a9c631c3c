"""The blocking client: how it reads records and streams, and how it waits."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.emulator import Emulator, effects
from tests.client.transports import settings_for

UNKNOWN_ID = "00000000-0000-0000-0000-000000000000"

# --- records


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_reads_are_repeated(client: Client, whiterabbit_emulator: Emulator, status: int, pauses: list[float]) -> None:
    """A read of a record is repeated after a transient failure, with a pause before each attempt."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("X", output=1)
    wr.fault(effects.Answer(status), kind="record", times=3)
    assert client.read(EXECUTION.followed(execution_id)).output == 1
    assert len(pauses) == 3


def test_reads_give_up(client: Client, whiterabbit_emulator: Emulator, pauses: list[float]) -> None:
    """A read gives up after five attempts."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("X", output=1)
    fault = wr.fault(effects.Answer(500), kind="record", times=None)
    with pytest.raises(exc.WhiteRabbitServerError):
        client.read(EXECUTION.followed(execution_id))
    assert fault.hits == 5
    assert len(pauses) == 4


def test_unknown_execution(client: Client) -> None:
    """The error about an unknown execution has the status 404, the method and the path."""
    with pytest.raises(exc.WhiteRabbitNotFoundError) as caught:
        client.read(EXECUTION.followed(UNKNOWN_ID))
    assert (caught.value.status, caught.value.method) == (404, "GET")
    assert caught.value.path.endswith(UNKNOWN_ID)


@pytest.mark.parametrize(
    "read", [Client.read, Client.read_once, lambda client, followed: list(client.events(followed))]
)
def test_answers_of_another_execution(client: Client, whiterabbit_emulator: Emulator, read: Callable[..., Any]) -> None:
    """A record or an event of another execution raises an error that names the other id."""
    wr = whiterabbit_emulator
    wr.fault(effects.Alter({"id": UNKNOWN_ID}), times=None)
    with pytest.raises(exc.WhiteRabbitError, match=f"another id, '{UNKNOWN_ID}'"):
        read(client, EXECUTION.followed(wr.create_execution("X", output=1)))


def test_too_slow_answers(whiterabbit_emulator: Emulator) -> None:
    """An answer that is not complete after `answer_timeouts` request timeouts raises a transport error."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("X")
    wr.fault(effects.Split((1,)), kind="record", times=None)
    settings = settings_for(wr, request_timeout=2, answer_timeouts=0.0)
    with (
        Client(settings, sleep=lambda _: None) as client,
        pytest.raises(exc.WhiteRabbitTransportError, match="not complete"),
    ):
        client.read(EXECUTION.followed(execution_id))


def test_errors_show_no_secrets(client: Client, whiterabbit_emulator: Emulator) -> None:
    """Neither the text nor the `repr` of an error contains the API key or the secret."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(401, {"message": "bad"}), kind="record")
    wr.fault(effects.Reset("answer"), kind="submit")
    for call in (
        lambda: client.read(EXECUTION.followed(UNKNOWN_ID)),
        lambda: client.submit(api.execute_component("X")),
    ):
        with pytest.raises(exc.WhiteRabbitError) as caught:
            call()
        for secret in (wr.api_key, wr.api_secret):
            assert secret not in f"{caught.value!s} {caught.value!r} {caught.value.__cause__!r} {client.settings!r}"


# --- streams and waits


def test_events(client: Client, whiterabbit_emulator: Emulator) -> None:
    """`events` yields each event of a stream, and ends with the terminal event."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("SLOW", manual=True)
    events = client.events(EXECUTION.followed(execution_id))
    assert next(events).status == "CREATED"
    wr.start(execution_id)
    assert next(events).status == "EXECUTING"
    wr.complete(execution_id, {"a": 1})
    (last,) = events
    assert (last.status, last.output) == ("COMPLETED", {"a": 1})  # type: ignore[attr-defined]


def test_events_that_are_not_read_to_the_end(client: Client, whiterabbit_emulator: Emulator) -> None:
    """Closing the iterator of `events` closes the stream."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("SLOW", manual=True)
    with contextlib.closing(client.events(EXECUTION.followed(execution_id))) as events:  # type: ignore[type-var]
        next(events)
        wr.wait_for_stream(execution_id)
    wr.wait_for_stream(execution_id, count=0)


def test_wait(client: Client, whiterabbit_emulator: Emulator) -> None:
    """`wait` returns the whole record of the ended execution, with its output."""
    execution_id = whiterabbit_emulator.create_execution("SLOW", output={"a": [1]}, after=0.2)
    execution = client.wait(EXECUTION.followed(execution_id), timeout=60)
    assert (execution.id, execution.output) == (execution_id, {"a": [1]})


def test_wait_believes_the_record(client: Client, whiterabbit_emulator: Emulator) -> None:
    """A terminal event does not end a wait while the record is not terminal."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("SLOW", manual=True)
    false_event = f'data: {{"id": "{execution_id}", "status": "COMPLETED", "output": 0}}\n\n'
    wr.fault(effects.Inject(false_event), kind="stream")

    def complete() -> None:
        wr.wait_for_request(kind="stream", count=2)
        wr.complete(execution_id, 1)

    with ThreadPoolExecutor() as pool:
        completion = pool.submit(complete)
        assert client.wait(EXECUTION.followed(execution_id), timeout=60).output == 1
        completion.result()


def test_wait_times_out(whiterabbit_emulator: Emulator) -> None:
    """`wait` gives up at its timeout although pings keep the stream alive, and names the last known status."""
    wr = whiterabbit_emulator
    wr.stream_options(ping_interval=0.01)
    execution_id = wr.create_execution("SLOW", manual=True)
    with (
        Client(settings_for(wr), Timing(final_read=60)) as client,
        pytest.raises(exc.WhiteRabbitTimeoutError, match="CREATED"),
    ):
        client.wait(EXECUTION.followed(execution_id), timeout=0.3)
    wr.wait_for_stream(execution_id, count=0)


# --- processes


def test_a_client_of_before_a_fork(client: Client, whiterabbit_emulator: Emulator) -> None:
    """A child of the process uses connections of its own: each process reads its own answers, and both go on."""
    wr = whiterabbit_emulator
    ids = [wr.create_execution("X", output=number) for number in range(2)]
    client.read(EXECUTION.followed(ids[0]))  # a connection is kept alive now
    readers = []
    for _ in range(3):
        reader, writer = os.pipe()
        if not (process := os.fork()):
            with contextlib.suppress(BaseException):
                outputs = {client.read(EXECUTION.followed(ids[1])).output for _ in range(20)}
                os.write(writer, repr(outputs).encode())
            os._exit(0)
        os.close(writer)
        readers.append((process, reader))
    assert {client.read(EXECUTION.followed(ids[0])).output for _ in range(20)} == {0}
    for process, reader in readers:
        os.waitpid(process, 0)
        assert os.read(reader, 100) == b"{1}"
        os.close(reader)


def test_a_fork_while_a_thread_holds_a_lock(client: Client, whiterabbit_emulator: Emulator) -> None:
    """A child does not wait for the locks that threads of the parent held at the fork: nobody releases them there."""
    followed = EXECUTION.followed(whiterabbit_emulator.create_execution("X", output=7))
    client.read(followed)
    pools = client._adapters.current(client.settings, keeps=True).poolmanager.pools
    with ThreadPoolExecutor(1) as thread:
        thread.submit(pools.lock.acquire).result()
        reader, writer = os.pipe()
        if not (process := os.fork()):
            with contextlib.suppress(BaseException):
                output = client.read(followed).output
                client.close()
                os.write(writer, repr(output).encode())
            os._exit(0)
        thread.submit(pools.lock.release).result()
    os.close(writer)
    is_done = select.select([reader], [], [], 60)[0]
    if not is_done:
        os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    assert is_done, "the child waits for a lock"
    assert os.read(reader, 100) == b"7"
    os.close(reader)


def test_submission_beside_a_dead_keep_alive_connection(client: Client, whiterabbit_emulator: Emulator) -> None:
    """A submission uses a new connection, so a dead keep-alive connection does not make it uncertain."""
    wr = whiterabbit_emulator
    client.read(EXECUTION.followed(wr.create_execution("X")))
    wr.pause()
    wr.resume()
    client.submit(api.execute_component("PAY"))
    assert len(wr.requests(kind="submit")) == 1
