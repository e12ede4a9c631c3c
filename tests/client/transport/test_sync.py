"""The blocking client over real sockets: what is sent, how often, and what becomes of it when the connection dies."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import trustme

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.records.execution import Execution
from airflow_provider_whiterabbit.client.transport import exchange as base
from airflow_provider_whiterabbit.client.transport.settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.client.wait.target import followed_execution
from airflow_provider_whiterabbit.client.wire import answers
from airflow_provider_whiterabbit.emulator import Emulator, effects
from tests.client.servers import server

UNKNOWN = "00000000-0000-0000-0000-000000000000"


@pytest.fixture
def pauses() -> list[float]:
    """How long the client would have slept between attempts."""
    return []


@pytest.fixture
def client(whiterabbit_emulator: Emulator, pauses: list[float]) -> Iterator[Client]:
    wr = whiterabbit_emulator
    settings = ClientSettings(wr.url, wr.api_key, wr.api_secret, request_timeout=2)
    with Client(settings, sleep=pauses.append) as client:
        yield client


def submissions(wr: Emulator) -> int:
    return len(wr.requests(kind="submit"))


def test_submit(client: Client, whiterabbit_emulator: Emulator) -> None:
    """A submission returns its record, and sends only the fields that are set."""
    execution = Execution.from_dict(client.submit(api.execute_component("RANDOM_UUID")))
    assert (execution.module, execution.status, execution.completed) == ("RANDOM_UUID", "CREATED", False)
    assert whiterabbit_emulator.requests(kind="submit")[0].body == b'{"module":"RANDOM_UUID","input":{},"config":{}}'


def test_body_that_python_would_write_differently(client: Client, whiterabbit_emulator: Emulator) -> None:
    """The signature holds for numbers, keys and text that Python's json writes otherwise."""
    awkward = {"b": 1.0, "10": 1e16, "9": 1e-7, "é😀\u2028": -0.0, "n": [1e21, 5e-324, 0.1]}
    execution = client.submit(api.execute_component("ECHO", awkward, inline_wait=5))
    assert execution["output"]["input"] == awkward


def test_inline_wait_outlasts_the_request_timeout(client: Client, whiterabbit_emulator: Emulator) -> None:
    """The read time-out is always longer than the time for which the server was asked to wait."""
    whiterabbit_emulator.script("SLOW", output=1, after=2.5)
    assert client.submit(api.execute_component("SLOW", inline_wait=5))["output"] == 1


def test_id_is_told_first(client: Client, whiterabbit_emulator: Emulator) -> None:
    """The id of an accepted submission is handed over before the rest of the answer can fail."""
    odd = {"id": "e-1", "status": "PAUSED"}
    whiterabbit_emulator.fault(effects.Answer(200, odd), kind="submit")
    told: list[str] = []
    data = client.submit(api.execute_component("X"), submitted=told.append)
    assert told == ["e-1"]
    with pytest.raises(exc.WhiteRabbitProtocolError, match=r"e-1.*PAUSED"):
        answers.submitted_execution(data)


@pytest.mark.parametrize(
    "trouble",
    [
        effects.Reset("request"),
        effects.Reset("answer"),
        effects.Reset("body", extra=10),
        effects.Answer(408, process=True),
        effects.Answer(500, process=True),
        effects.Answer(502, "<html>bad gateway</html>"),
        effects.Answer(504, process=True),
        effects.Answer(302, headers={"Location": "http://127.0.0.1:1/"}),
        effects.Answer(200, "<html>hello</html>"),
        effects.Answer(200, {"status": "CREATED"}),
        effects.Truncate(5),
        effects.Hold(),
    ],
    ids=repr,
)
def test_uncertain_is_never_sent_again(client: Client, whiterabbit_emulator: Emulator, trouble: effects.Effect) -> None:
    """A POST that may have reached the server is not sent again, and says that it is uncertain."""
    whiterabbit_emulator.fault(trouble, kind="submit", times=None)
    with pytest.raises(exc.WhiteRabbitUncertainSubmissionError):
        client.submit(api.execute_component("PAY"))
    assert submissions(whiterabbit_emulator) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, exc.WhiteRabbitInvalidRequestError),
        (401, exc.WhiteRabbitAuthenticationError),
        (403, exc.WhiteRabbitPermissionError),
        (404, exc.WhiteRabbitNotFoundError),
        (409, exc.WhiteRabbitResponseError),
        (422, exc.WhiteRabbitInvalidRequestError),
    ],
)
def test_refused_is_plain(client: Client, whiterabbit_emulator: Emulator, status: int, error: type[Exception]) -> None:
    """A refusal is told once, with the server's words, and not tried again."""
    whiterabbit_emulator.fault(effects.Answer(status, {"message": "no", "error": "Nope"}), kind="submit", times=None)
    with pytest.raises(error, match=r"Nope: no") as caught:
        client.submit(api.execute_component("PAY"))
    assert type(caught.value) is error
    assert submissions(whiterabbit_emulator) == 1


def test_too_many_requests(client: Client, whiterabbit_emulator: Emulator, pauses: list[float]) -> None:
    """429 refuses for now: the submission is sent again after the time that was asked for, signed afresh."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(429, headers={"Retry-After": "3"}), kind="submit", times=2)
    client.submit(api.execute_component("PAY"))
    assert submissions(wr) == 3
    assert len(wr.executions) == 1
    assert all(pause >= 3 for pause in pauses)


def test_signed_after_the_wait(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signature is made after a pause, not before: it is good for 30 seconds only."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(429), kind="submit")
    now = [0.0]

    def sleep(_: float) -> None:
        now[0] += 100
        monkeypatch.setattr(wr, "clock_offset", now[0])

    client = Client(ClientSettings(wr.url, wr.api_key, wr.api_secret), sleep=sleep)
    real = client._signer._clock
    client._signer._clock = lambda: real() + now[0]
    with client:
        client.submit(api.execute_component("PAY"))
    assert [entry.status for entry in wr.journal] == [429, 200]


def test_connection_refused_is_sent_again(client: Client, whiterabbit_emulator: Emulator) -> None:
    """What never left this machine is sent again."""
    wr = whiterabbit_emulator
    wr.pause()
    client._sleep = lambda _: wr.resume()
    client.submit(api.execute_component("PAY"))
    assert submissions(wr) == 1


def test_unreachable(pauses: list[float], whiterabbit_emulator: Emulator) -> None:
    """A host that can't be reached at all is told plainly, not as uncertain."""
    with socket.socket() as bound:  # bound, but not listening: every connection is refused
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        settings = ClientSettings(url, whiterabbit_emulator.api_key, whiterabbit_emulator.api_secret)
        with Client(settings, sleep=pauses.append) as client, pytest.raises(exc.WhiteRabbitTransportError) as caught:
            client.submit(api.execute_component("PAY"))
    assert not caught.value.sent
    assert len(pauses) == 4


def test_dead_keep_alive_connection(client: Client, whiterabbit_emulator: Emulator) -> None:
    """A submission does not go over a connection that may have died since the last call."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("X")
    client.read(followed_execution(execution_id))
    wr.pause()
    wr.resume()
    client.submit(api.execute_component("PAY"))
    assert submissions(wr) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_reads_are_repeated(client: Client, whiterabbit_emulator: Emulator, status: int, pauses: list[float]) -> None:
    """Reading is safe to repeat, after pauses with jitter."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("X", output=1)
    wr.fault(effects.Answer(status), kind="record", times=3)
    assert client.read(followed_execution(execution_id)).output == 1
    assert len(pauses) == 3


def test_reads_give_up(client: Client, whiterabbit_emulator: Emulator, pauses: list[float]) -> None:
    """A single read gives up after a handful of attempts, and at once where it is asked to wait for minutes."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("X", output=1)
    fault = wr.fault(effects.Answer(500), kind="record", times=None)
    with pytest.raises(exc.WhiteRabbitServerError):
        client.read(followed_execution(execution_id))
    assert fault.hits == 5
    wr.clear_faults()
    wr.fault(effects.Answer(429, headers={"Retry-After": "600"}), kind="record", times=None)
    pauses.clear()
    with pytest.raises(exc.WhiteRabbitRateLimitError):
        client.read(followed_execution(execution_id))
    assert not pauses


def test_unknown_execution(client: Client) -> None:
    """404 carries the server's words, the method and the path."""
    with pytest.raises(exc.WhiteRabbitNotFoundError) as caught:
        client.read(followed_execution(UNKNOWN))
    assert (caught.value.status, caught.value.method) == (404, "GET")
    assert caught.value.path.endswith(UNKNOWN)


@pytest.mark.parametrize("read", [Client.read, Client.look, lambda client, followed: list(client.events(followed))])
def test_somebody_else_s(client: Client, whiterabbit_emulator: Emulator, read: Callable[..., Any]) -> None:
    """A record or an event of another execution is an error, whatever it says."""
    wr = whiterabbit_emulator
    wr.fault(effects.Alter({"id": UNKNOWN}), times=None)
    with pytest.raises(exc.WhiteRabbitError, match=f"another one, '{UNKNOWN}'"):
        read(client, followed_execution(wr.create_execution("X", output=1)))


def test_stream(client: Client, whiterabbit_emulator: Emulator) -> None:
    """The iterator yields each event and ends with the terminal one."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("SLOW", manual=True)
    events = client.events(followed_execution(execution_id))
    assert next(events).status == "CREATED"
    wr.start(execution_id)
    assert next(events).status == "EXECUTING"
    wr.complete(execution_id, {"a": 1})
    (last,) = events
    assert (last.status, last.output) == ("COMPLETED", {"a": 1})


def test_stream_left_early(client: Client, whiterabbit_emulator: Emulator) -> None:
    """Leaving the loop closes the stream."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("SLOW", manual=True)
    with contextlib.closing(client.events(followed_execution(execution_id))) as events:
        next(events)
        wr.wait_for_stream(execution_id)
    wr.wait_for_stream(execution_id, count=0)


def test_wait(client: Client, whiterabbit_emulator: Emulator) -> None:
    """Waiting returns the record, output included."""
    execution_id = whiterabbit_emulator.create_execution("SLOW", output={"a": [1]}, after=0.2)
    execution = client.wait(followed_execution(execution_id), timeout=20)
    assert (execution.id, execution.output) == (execution_id, {"a": [1]})


def test_wait_believes_the_record(client: Client, whiterabbit_emulator: Emulator) -> None:
    """An event that tells of an end which the record does not know is no end."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("SLOW", manual=True)
    lie = f'data: {{"id": "{execution_id}", "status": "COMPLETED", "output": 0}}\n\n'
    wr.fault(effects.Inject(lie), kind="stream")

    def complete() -> None:
        wr.wait_for_request(kind="stream", count=2)
        wr.complete(execution_id, 1)

    with ThreadPoolExecutor() as pool:
        completion = pool.submit(complete)
        assert client.wait(followed_execution(execution_id), timeout=20).output == 1
        completion.result()


def test_wait_times_out(whiterabbit_emulator: Emulator) -> None:
    """The time-out is kept even though a ping keeps the stream alive, and tells the last status."""
    wr = whiterabbit_emulator
    wr.stream_options(ping_interval=0.01)
    execution_id = wr.create_execution("SLOW", manual=True)
    with (
        Client(ClientSettings(wr.url, wr.api_key, wr.api_secret)) as client,
        pytest.raises(exc.WhiteRabbitTimeoutError, match="CREATED"),
    ):
        client.wait(followed_execution(execution_id), timeout=0.3)
    wr.wait_for_stream(execution_id, count=0)


def test_too_large(client: Client, whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are bounded in size."""
    monkeypatch.setattr(base, "MAX_RESPONSE_BYTES", 10_000)
    execution_id = whiterabbit_emulator.create_execution("X", output="x" * 20_000)
    with pytest.raises(exc.WhiteRabbitTransportError, match="more than 10000 bytes"):
        client.read(followed_execution(execution_id))


def test_dribble(client: Client, whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are bounded in time: bytes that trickle in do not keep a call alive for ever."""
    monkeypatch.setattr(base, "PATIENCE", 0.0)
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("X")
    wr.fault(effects.Split((1,)), kind="record", times=None)
    with pytest.raises(exc.WhiteRabbitTransportError, match="not whole"):
        client.read(followed_execution(execution_id))


def test_secrets_stay_out_of_errors(client: Client, whiterabbit_emulator: Emulator) -> None:
    """No error shows the key or the secret, in its text or its repr."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(401, {"message": "bad"}), kind="record")
    wr.fault(effects.Reset("answer"), kind="submit")
    for call in (lambda: client.read(followed_execution(UNKNOWN)), lambda: client.submit(api.execute_component("X"))):
        with pytest.raises(exc.WhiteRabbitError) as caught:
            call()
        for secret in (wr.api_key, wr.api_secret):
            assert secret not in f"{caught.value!s} {caught.value!r} {caught.value.__cause__!r} {client.settings!r}"


# --- TLS and proxies, over sockets of the tests' own


@pytest.fixture
def ca(tmp_path: Any) -> tuple[trustme.CA, str]:
    authority = trustme.CA()
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return authority, str(path)


def test_corrupt_tls_record_after_the_body(whiterabbit_emulator: Emulator, ca: tuple[trustme.CA, str]) -> None:
    """A TLS record that is corrupt after the body was read is an SSLError, and yet the body was sent: uncertain."""
    authority, ca_path = ca
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    received: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)

        def pump(action: Callable[[], Any]) -> Any:
            while True:
                try:
                    result = action()
                except ssl.SSLWantReadError:
                    connection.sendall(outgoing.read())
                    incoming.write(connection.recv(65536))
                else:
                    connection.sendall(outgoing.read())
                    return result

        pump(tls.do_handshake)
        data = b""
        while not data.endswith(b"}"):
            data += pump(lambda: tls.read(65536))
        received.append(data)
        tls.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        record = bytearray(outgoing.read())
        record[-1] ^= 0xFF
        connection.sendall(record)

    with server(handle) as port:
        wr = whiterabbit_emulator
        settings = ClientSettings(f"https://127.0.0.1:{port}", wr.api_key, wr.api_secret, ca_bundle=ca_path)
        with (
            Client(settings, sleep=lambda _: None) as client,
            pytest.raises(exc.WhiteRabbitUncertainSubmissionError, match="SSL"),
        ):
            client.submit(api.execute_component("PAY"))
    assert len(received) == 1


def test_untrusted_certificate(whiterabbit_emulator: Emulator, ca: tuple[trustme.CA, str]) -> None:
    """A certificate of an authority that is not ours is refused before a byte of the request is sent."""
    authority, _ = ca
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    received: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError):
            received.append(context.wrap_socket(connection, server_side=True).recv(1))

    with server(handle) as port:
        wr = whiterabbit_emulator
        settings = ClientSettings(f"https://127.0.0.1:{port}", wr.api_key, wr.api_secret)
        with Client(settings, sleep=lambda _: None) as client, pytest.raises(exc.WhiteRabbitTransportError) as caught:
            client.submit(api.execute_component("PAY"))
    assert not caught.value.sent
    assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value)
    assert not any(received)


def test_proxy_of_the_environment(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's proxy is used, and what a proxy answers to CONNECT is no answer of White Rabbit's."""
    asked: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        asked.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

    with server(handle) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter2@127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "")
        wr = whiterabbit_emulator
        settings = ClientSettings("https://whiterabbit.invalid", wr.api_key, wr.api_secret)
        with Client(settings, sleep=lambda _: None) as client, pytest.raises(exc.WhiteRabbitTransportError) as caught:
            client.submit(api.execute_component("PAY"))
    assert asked[0].startswith(b"CONNECT whiterabbit.invalid:443")
    assert not caught.value.sent
    assert "hunter2" not in f"{caught.value}"
    assert wr.api_key.encode() not in b"".join(asked)


def test_no_proxy_for_this_machine(
    client: Client, whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain HTTP to this machine never goes through a proxy, which would see the key."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    with Client(client.settings) as direct:
        direct.submit(api.execute_component("X"))


@pytest.mark.parametrize("head", [b"Content-Length: 100000", b"Connection: close"])
def test_silence_is_measured_on_every_kind_of_body(whiterabbit_emulator: Emulator, head: bytes) -> None:
    """The time-out of a read is kept on answers of every framing, also while bytes trickle in."""
    leave = threading.Event()

    def handle(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + head + b"\r\n\r\n")
        while not leave.wait(0.02):
            connection.sendall(b" ")

    with server(handle) as port:
        wr = whiterabbit_emulator
        settings = ClientSettings(f"http://127.0.0.1:{port}", wr.api_key, wr.api_secret, request_timeout=5)
        with Client(settings) as client, pytest.raises(exc.WhiteRabbitTransportError, match=r"not whole|nothing came"):
            client.send(api.get_execution(UNKNOWN), within=0.3)
        leave.set()


def test_netrc_is_ignored(
    client: Client, whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """A password that happens to be in ~/.netrc is none of White Rabbit's business."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2")
    monkeypatch.setenv("NETRC", str(netrc))
    client.submit(api.execute_component("X"))
    assert "authorization" not in {name.lower() for name in whiterabbit_emulator.requests(kind="submit")[0].headers}
