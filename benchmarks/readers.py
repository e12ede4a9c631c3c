"""Ways to wait for an idle execution on its stream, and how each of them is started."""

from __future__ import annotations

import asyncio
import functools
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from airflow.triggers.base import BaseTrigger, TriggerEvent

STREAM = "/v1/sdk/components/executions/{}/stream"
READING = "benchmarks.readers.ReadingTrigger"


async def read_bare(url: str, identity: str) -> None:
    """Read a stream to its end, and do nothing else: the least that a wait in Python can cost."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    writer.write(f"GET {STREAM.format(identity)} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n".encode())
    while await reader.read(65536):
        pass
    writer.close()


@functools.cache
def _session() -> Any:
    import aiohttp

    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None))


async def read_aiohttp(url: str, identity: str) -> None:
    """Read a stream to its end with aiohttp, all with one session."""
    async with _session().get(url + STREAM.format(identity)) as answer:
        while await answer.content.readany():
            pass


class ReadingTrigger(BaseTrigger):
    """A bare reader as a trigger: what a wait costs more than it is the provider's, what it costs itself is Airflow's.

    :param reader: ``read_bare``, or ``read_aiohttp`` for the share of the HTTP library.
    """

    def __init__(self, reader: str, url: str, identity: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.reader = reader
        self.url = url
        self.identity = identity

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return the class's path and the arguments to make this trigger again."""
        return READING, {"reader": self.reader, "url": self.url, "identity": self.identity}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Read the stream."""
        await globals()[self.reader](self.url, self.identity)
        yield TriggerEvent(True)  # type: ignore[no-untyped-call]


def triggers_of(way: str, url: str, identities: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield class paths and arguments, as the triggerer gets them."""
    for identity in identities:
        match way:
            case "triggerer":
                yield READING, {"reader": "read_bare", "url": url, "identity": identity}
            case "aiohttp":
                yield READING, {"reader": "read_aiohttp", "url": url, "identity": identity}
            case "ours":
                path = "airflow_provider_whiterabbit.triggers.execution.WhiteRabbitExecutionTrigger"
                yield path, {"execution_id": identity}
            case "http":
                yield "airflow.providers.http.triggers.http.HttpSensorTrigger", {"endpoint": f"/poll/{identity}"}


async def start_triggers(way: str, url: str, identities: list[str]) -> object:
    """Start triggers as the triggerer does, by its own code; return what keeps them alive."""
    from airflow.executors.workloads import TaskInstanceDTO
    from airflow.executors.workloads.trigger import RunTrigger
    from airflow.jobs.triggerer_job_runner import TriggerRunner
    from airflow.models.trigger import Trigger

    runner = TriggerRunner()  # type: ignore[no-untyped-call]
    for number, (path, arguments) in enumerate(triggers_of(way, url, identities)):
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


async def start_bare(way: str, url: str, identities: list[str]) -> object:
    """Start bare readers, one after the other, as the triggerer does."""
    tasks = []
    for identity in identities:
        tasks.append(asyncio.create_task(read_bare(url, identity)))
        await asyncio.sleep(0)
    return tasks


async def start_threads(way: str, url: str, identities: list[str]) -> object:
    """Start a thread for each stream, which reads it by requests and sseclient-py."""

    def read(identity: str) -> None:
        import requests
        import sseclient

        answer = requests.get(url + STREAM.format(identity), stream=True, timeout=60)
        for _ in sseclient.SSEClient(answer.iter_content(None)).events():
            pass

    threads = [threading.Thread(target=read, args=(identity,), daemon=True) for identity in identities]
    for thread in threads:
        thread.start()
        await asyncio.sleep(0)
    return threads


STARTS: dict[str, Callable[[str, str, list[str]], Awaitable[object]]] = {"bare": start_bare, "threads": start_threads}
