"""The emulator and forked processes, such as those that run a task of Airflow."""

from __future__ import annotations

import json
import os
import select
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from airflow_provider_whiterabbit.emulator import Emulator
from tests.emulator.api_client import ApiClient

pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")

PATIENCE = 60


def in_child(function: Callable[[], object]) -> object:
    """Call a function in a forked process, and return what it returned (JSON); fail if it blocks."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, json.dumps(function()).encode())
        except BaseException as error:
            os.write(writing, json.dumps(f"{type(error).__name__}: {error}").encode())
        finally:
            os._exit(0)
    os.close(writing)
    try:
        assert select.select([reading], [], [], PATIENCE)[0], "the child blocks"
        return json.loads(os.read(reading, 65536))
    finally:
        os.close(reading)
        os.kill(child, 9)
        os.waitpid(child, 0)


def test_an_emulator_of_the_child_answers(client: ApiClient) -> None:
    """An emulator that a forked process starts answers a request with a body."""
    client.submit()  # the parent has used its JavaScript engine

    def submit() -> object:
        with Emulator(components=["ECHO"]) as own:
            record = ApiClient(own).submit(input={"a": 1}, waitForMs=10_000)
            return [record["output"], len(own.requests(kind="submit"))]

    assert in_child(submit) == [{"module": "ECHO", "input": {"a": 1}}, 1]
    client.submit()


def test_a_child_can_use_the_emulator_of_its_parent_over_http(wr: Emulator) -> None:
    """A forked process can send requests to the emulator of its parent process."""
    assert in_child(lambda: ApiClient(wr).submit("PAY")["module"]) == "PAY"
    assert len(wr.requests(module="PAY")) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda wr: wr.journal,
        lambda wr: wr.reset(),
        lambda wr: wr.script("PAY", output=1),
        lambda wr: wr.create_execution("PAY"),
        lambda wr: wr.wait_for_request(),
        lambda wr: wr.start_server(),
    ],
)
def test_a_child_cannot_control_the_emulator_of_its_parent(wr: Emulator, call: Callable[[Emulator], object]) -> None:
    """In a forked process, the methods of the parent's emulator raise at once, and say what to do instead."""
    problem = str(in_child(lambda: call(wr)))
    assert problem.startswith(f"RuntimeError: the emulator runs in process {os.getpid()}")
    assert "control it over HTTP" in problem


def test_the_end_of_a_child_leaves_the_emulator_running(wr: Emulator, client: ApiClient) -> None:
    """A forked process that stops its copy of an emulator, or ends, stops nothing in its parent process."""
    in_child(wr.stop_server)
    assert client.submit()["status"] == "CREATED"


def test_files_of_a_certificate_outlive_a_child() -> None:
    """The files of a certificate are not deleted when a forked process ends as a Python process does."""
    with Emulator(certificate="trusted") as emulator:
        child = os.fork()
        if child == 0:
            weakref.finalize._exitfunc()  # type: ignore[attr-defined]
            os._exit(0)
        os.waitpid(child, 0)
        assert Path(str(emulator.ca_bundle)).exists()


@contextmanager
def living_child() -> Iterator[None]:
    """Fork a process that does nothing; it runs when the block begins, and ends with the block."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, b"x")
        time.sleep(10 * PATIENCE)
        os._exit(0)
    try:
        assert select.select([reading], [], [], PATIENCE)[0], "the child does not start"
        yield
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(reading)
        os.close(writing)


def test_a_child_does_not_hold_connections_open(client: ApiClient, wr: Emulator) -> None:
    """A stream that the emulator closes ends for its client, although a forked process lives on."""
    execution_id = wr.create_execution("PAY", manual=True)
    stream = client.stream(execution_id)
    wr.wait_for_stream(execution_id)
    with living_child():
        wr.pause()
        with pytest.raises(requests.RequestException):
            _ = stream.content
        with pytest.raises(requests.ConnectionError, match="refused"):
            client.record(execution_id)
        wr.resume()


def test_a_restart_after_a_fork() -> None:
    """A forked process does not keep the port of an emulator that stops and starts again."""
    with Emulator() as emulator, living_child():
        emulator.stop_server()
        emulator.start_server()
