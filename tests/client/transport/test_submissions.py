"""Submissions with both clients: each is sent at most once, and an uncertain outcome raises its own error."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.records.execution import Execution
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.emulator.plumbing.certificates import Certificate
from dev.harness.modules import MODULES
from tests.client.transport.tls_servers import server_context, tls_server
from tests.client.transports import Submit, settings_for, submitters

pytestmark = submitters


def count_submissions(wr: Emulator) -> int:
    """Return how many submissions the emulator has received."""
    return len(wr.requests(kind="submit"))


# --- accepted


def test_submit(submit: Submit, whiterabbit_emulator: Emulator) -> None:
    """A submission returns the record of its execution, and sends only the fields that are set."""
    execution = Execution.from_dict(submit(settings_for(whiterabbit_emulator), api.execute_component("RANDOM_UUID")))
    assert (execution.module, execution.status, execution.completed) == ("RANDOM_UUID", "CREATED", False)
    assert whiterabbit_emulator.requests(kind="submit")[0].body == b'{"module":"RANDOM_UUID","input":{},"config":{}}'


def test_signature_of_a_body_that_python_writes_differently(submit: Submit, whiterabbit_emulator: Emulator) -> None:
    """The signature is valid for numbers, keys and text that Python's `json` writes differently from JavaScript."""
    inputs = {"b": 1.0, "10": 1e16, "9": 1e-7, "é😀\u2028": -0.0, "n": [1e21, 5e-324, 0.1]}
    execution = submit(settings_for(whiterabbit_emulator), api.execute_component("ECHO", inputs, inline_wait=5))
    assert execution["output"]["input"] == inputs


def test_inline_wait_may_exceed_the_request_timeout(submit: Submit, whiterabbit_emulator: Emulator) -> None:
    """The read timeout is longer than the `inline_wait` of the submission."""
    whiterabbit_emulator.script("SLOW", output=1, after=2.5)
    request = api.execute_component("SLOW", inline_wait=15)
    assert submit(settings_for(whiterabbit_emulator, request_timeout=2), request)["output"] == 1


def test_on_id_is_called_first(submit: Submit, whiterabbit_emulator: Emulator) -> None:
    """`on_id` receives the id of a submission although the rest of the answer is malformed."""
    whiterabbit_emulator.fault(effects.Answer(200, {"id": "e-1", "status": "PAUSED"}), kind="submit")
    ids: list[str] = []
    answer = submit(settings_for(whiterabbit_emulator), api.execute_component("X"), on_id=ids.append)
    assert ids == ["e-1"]
    with pytest.raises(exc.WhiteRabbitProtocolError, match=r"e-1.*PAUSED"):
        Execution.from_submission(answer)


# --- uncertain or refused


@pytest.mark.parametrize(
    "failure",
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
def test_uncertain_submissions_are_not_repeated(
    submit: Submit, whiterabbit_emulator: Emulator, failure: effects.Effect
) -> None:
    """A submission that may have reached the server is not sent again, and raises the uncertain-submission error."""
    wr = whiterabbit_emulator
    wr.fault(failure, kind="submit", times=None)
    settings = settings_for(wr, request_timeout=2) if isinstance(failure, effects.Hold) else settings_for(wr)
    with pytest.raises(exc.WhiteRabbitUncertainSubmissionError):
        submit(settings, api.execute_component("PAY"))
    wr.wait_for_request(kind="submit")  # a busy emulator may read it only after the client has given up
    assert count_submissions(wr) == 1


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
def test_refused_submissions_are_not_repeated(
    submit: Submit, whiterabbit_emulator: Emulator, status: int, error: type[Exception]
) -> None:
    """A submission that the server refused is not sent again, and raises an error with the server's message."""
    whiterabbit_emulator.fault(effects.Answer(status, {"message": "no", "error": "Nope"}), kind="submit", times=None)
    with pytest.raises(error, match=r"Nope: no") as caught:
        submit(settings_for(whiterabbit_emulator), api.execute_component("PAY"))
    assert type(caught.value) is error
    assert count_submissions(whiterabbit_emulator) == 1


# --- sent again


def test_too_many_requests(submit: Submit, whiterabbit_emulator: Emulator) -> None:
    """A submission that was answered with 429 is sent again after the seconds of its `Retry-After`."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(429, retry_after=1), kind="submit", times=2)
    submit(settings_for(wr), api.execute_component("PAY"))
    assert count_submissions(wr) == 3
    assert len(wr.executions) == 1
    assert all(second.monotonic - first.monotonic >= 1 for first, second in pairwise(wr.journal))


def test_each_attempt_is_signed_after_its_pause(submit: Submit, whiterabbit_emulator: Emulator) -> None:
    """The signature of a second attempt has a time after the pause, because it is valid for only 30 seconds."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(429, retry_after=2), kind="submit")
    submit(settings_for(wr), api.execute_component("PAY"))
    assert [entry.status for entry in wr.journal] == [429, 200]
    first, second = (int(entry.headers["x-sdk-timestamp"]) for entry in wr.journal)
    assert second - first >= 1  # the time of a signature has whole seconds


@pytest.mark.parametrize("attempts", [1, 3])
def test_unreachable_server(submit: Submit, whiterabbit_emulator: Emulator, attempts: int) -> None:
    """A server that refuses every connection raises a transport error with `sent=False`, not an uncertain outcome."""
    with socket.socket() as bound:  # bound, but not listening: every connection is refused
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(exc.WhiteRabbitTransportError) as caught:
            submit(settings_for(whiterabbit_emulator, url, request_attempts=attempts), api.execute_component("PAY"))
    assert not caught.value.sent


def test_refused_connections_are_tried_again(submit: Submit, whiterabbit_emulator: Emulator) -> None:
    """A submission whose connection was refused never left this machine, so it is sent again."""
    wr = whiterabbit_emulator
    wr.pause()
    resuming = threading.Timer(0.2, wr.resume)
    resuming.start()
    growing = Timing(first_pause=0.1)  # 100 attempts without pauses may all be made before the emulator is back
    submit(settings_for(wr, request_attempts=100), api.execute_component("PAY"), growing)
    resuming.join()
    assert count_submissions(wr) == 1


@pytest.mark.parametrize("certificate", ["self-signed", "expired", "wrong-host"])
def test_handshakes_that_fail(submit: Submit, certificate: Certificate) -> None:
    """A submission whose TLS handshake fails was never sent."""
    with Emulator(certificate=certificate, components=MODULES) as wr:
        with pytest.raises(exc.WhiteRabbitTransportError, match="certificate was refused") as caught:
            submit(settings_for(wr, ca_bundle=wr.ca_bundle, request_attempts=1), api.execute_component("PAY"))
        assert not caught.value.sent
        assert not wr.journal


def test_over_tls(submit: Submit) -> None:
    """A submission over TLS is sent once, over HTTP/1.1."""
    with Emulator(certificate="trusted", components=MODULES) as wr:
        submit(settings_for(wr, ca_bundle=wr.ca_bundle), api.execute_component("PAY"))
        assert len(wr.executions) == 1


def test_a_connection_that_is_cut_within_tls(submit: Submit, whiterabbit_emulator: Emulator, tmp_path: Path) -> None:
    """A submission is uncertain after the handshake, whatever then breaks: also TLS itself."""

    def cut(connection: ssl.SSLSocket) -> None:
        connection.recv(1)
        os.write(connection.fileno(), b"no record of TLS, but long enough to be taken for one")

    with tls_server(server_context(tmp_path), cut) as url:
        trusting = settings_for(whiterabbit_emulator, url, ca_bundle=str(tmp_path / "ca.pem"))
        with pytest.raises(exc.WhiteRabbitUncertainSubmissionError):
            submit(trusting, api.execute_component("PAY"))


def test_a_replaced_key(submit: Submit, whiterabbit_emulator: Emulator) -> None:
    """A refused key is not tried again with another one for a submission."""
    wr = whiterabbit_emulator
    old = settings_for(wr)
    wr.rotate_key()
    with pytest.raises(exc.WhiteRabbitAuthenticationError):
        submit(old, api.execute_component("PAY"))
    assert count_submissions(wr) == 1


def test_a_wrong_clock(submit: Submit, whiterabbit_emulator: Emulator) -> None:
    """A submission that was refused for the time of its signature is sent again with the server's time."""
    wr = whiterabbit_emulator
    wr.clock_offset = 90
    submit(settings_for(wr), api.execute_component("PAY"))
    assert [entry.status for entry in wr.requests(kind="submit")] == [401, 200]
    assert len(wr.executions) == 1
