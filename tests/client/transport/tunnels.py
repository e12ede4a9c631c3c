"""A proxy on loopback that lets clients through by CONNECT, over plain HTTP or over TLS."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Proxy:
    """A running proxy.

    :param url: its URL.
    :param targets: the hosts that clients asked for.
    :param certificates: those that clients showed to the proxy; None for a client without one.
    """

    url: str = ""
    targets: list[str] = field(default_factory=list)
    certificates: list[Any] = field(default_factory=list)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


@contextlib.contextmanager
def connect_proxy(context: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """Run a proxy that connects every host to this machine.

    :param context: TLS of the proxy; None for plain HTTP.
    """
    proxy, ready = Proxy(), threading.Event()

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, asyncio.IncompleteReadError):
            stack.callback(writer.close)
            head = await reader.readuntil(b"\r\n\r\n")
            target = head.split()[1].decode()
            proxy.targets.append(target.partition(":")[0])
            proxy.certificates.append(writer.get_extra_info("peercert") or None)
            there, back = await asyncio.open_connection("127.0.0.1", int(target.rpartition(":")[2]))
            stack.callback(back.close)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.gather(_copy(reader, back), _copy(there, writer))

    async def serve() -> None:
        server = await asyncio.start_server(tunnel, "127.0.0.1", 0, ssl=context)
        proxy.url = f"{'https' if context else 'http'}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ready.set()
        await asyncio.to_thread(end.wait)
        server.close()

    end = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    try:
        yield proxy
    finally:
        end.set()
        thread.join()
