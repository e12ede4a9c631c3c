"""The compared ways to follow the event stream of an idle execution, and functions that start many such waits."""

from __future__ import annotations

import asyncio
import functools
import ssl
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from airflow.triggers.base import BaseTrigger, TriggerEvent

STREAM = "/v1/sdk/components/executions/{}/stream"
READING_TRIGGER = "benchmarks.readers.ReadingTrigger"


async def read_bare(url: str, execution_id: str) -> None:
    """Read a stream to its end with a plain asyncio socket: the least that a wait in Python can cost."""
    address = urlsplit(url)
    tls = _shared_context() if address.scheme == "https" else None
    reader, writer = await asyncio.open_connection(address.hostname, address.port, ssl=tls)
    writer.write(f"GET {STREAM.format(execution_id)} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
    while await reader.read(65536):
        pass
    writer.close()


@functools.cache
def _shared_context() -> ssl.SSLContext:
    return ssl.create_default_context()  # the environment names the authority to trust


@functools.cache
def _shared_session() -> Any:
    import aiohttp

    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None))


async def read_aiohttp(url: str, execution_id: str) -> None:
    """Read a stream to its end with aiohttp, on a session that all streams share."""
    import aiohttp

    try:
        async with _shared_session().get(url + STREAM.format(execution_id)) as answer:
            while await answer.content.readany():
                pass
    except aiohttp.ClientError as error:
        raise OSError(str(error)) from error


READERS = {"read_bare": read_bare, "read_aiohttp": read_aiohttp}


async def read_again_and_again(reader: str, url: str, execution_id: str) -> None:
    """Read a stream with one of `READERS`, and open it again when it ends or breaks."""
    while True:
        try:
            await READERS[reader](url, execution_id)
        except OSError:
            await asyncio.sleep(0.1)


class ReadingTrigger(BaseTrigger):
    """A trigger that only reads a stream, to show how much of a wait's cost is Airflow's and the HTTP library's.

    :param reader: name of the function that reads, ``"read_bare"`` or ``"read_aiohttp"``.
    :param url: base URL of the server.
    :param identity: id of the execution.
    """

    def __init__(self, reader: str, url: str, identity: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reader = reader
        self.url = url
        self.identity = identity

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class path and the arguments from which Airflow recreates this trigger."""
        return READING_TRIGGER, {"reader": self.reader, "url": self.url, "identity": self.identity}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Read the stream; only a cancellation ends it."""
        await read_again_and_again(self.reader, self.url, self.identity)
        yield TriggerEvent(True)  # type: ignore[no-untyped-call]


def triggers_of(way: str, url: str, execution_ids: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the class path and the arguments of one trigger for each execution."""
    for execution_id in execution_ids:
        match way:
            case "triggerer":
                yield READING_TRIGGER, {"reader": "read_bare", "url": url, "identity": execution_id}
            case "aiohttp":
                yield READING_TRIGGER, {"reader": "read_aiohttp", "url": url, "identity": execution_id}
            case "ours" | "ours_http2":
                path = "airflow_provider_whiterabbit.triggers.execution.WhiteRabbitExecutionTrigger"
                yield path, {"execution_id": execution_id}
            case "http":
                yield "airflow.providers.http.triggers.http.HttpSensorTrigger", {"endpoint": f"/poll/{execution_id}"}


async def start_triggers(way: str, url: str, execution_ids: list[str]) -> object:
    """Start one trigger for each execution with the triggerer's own code; return the object that keeps them alive."""
    from airflow.executors.workloads import TaskInstanceDTO
    from airflow.executors.workloads.trigger import RunTrigger
    from airflow.jobs.triggerer_job_runner import TriggerRunner
    from airflow.models.trigger import Trigger

    runner = TriggerRunner()  # type: ignore[no-untyped-call]
    for number, (path, arguments) in enumerate(triggers_of(way, url, execution_ids)):
        ti = TaskInstanceDTO(
            id=uuid.UUID(int=number),
            dag_version_id=uuid.UUID(int=number),
            task_id="wait",
            dag_id="benchmark",
            run_id="benchmark",
            try_number=1,
            map_index=number,
            pool_slots=1,
            queue="default",
            priority_weight=1,
        )
        encrypted = Trigger.encrypt_kwargs(arguments)
        runner.to_create.append(RunTrigger(id=number, classpath=path, encrypted_kwargs=encrypted, ti=ti))
    await runner.create_triggers()  # type: ignore[no-untyped-call]
    return runner


async def start_bare(way: str, url: str, execution_ids: list[str]) -> object:
    """Start a plain asyncio reader for each execution, one after the other like the triggerer; return the tasks."""
    tasks = []
    for execution_id in execution_ids:
        tasks.append(asyncio.create_task(read_again_and_again("read_bare", url, execution_id)))
        await asyncio.sleep(0)
    return tasks


async def start_threads(way: str, url: str, execution_ids: list[str]) -> object:
    """Start a thread for each execution, which reads the stream with requests and sseclient-py; return the threads."""

    def read(execution_id: str) -> None:
        import requests
        import sseclient

        answer = requests.get(url + STREAM.format(execution_id), stream=True, timeout=60)
        for _ in sseclient.SSEClient(answer.iter_content(None)).events():
            pass

    threads = [threading.Thread(target=read, args=(execution_id,), daemon=True) for execution_id in execution_ids]
    for thread in threads:
        thread.start()
        await asyncio.sleep(0)
    return threads


STARTS: dict[str, Callable[[str, str, list[str]], Awaitable[object]]] = {"bare": start_bare, "threads": start_threads}
"""The start function of each way that uses no trigger; all other ways use `start_triggers`."""
