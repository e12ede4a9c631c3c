"""Texts of servers in the errors of both clients: fit for logs and for a trigger's events."""

from __future__ import annotations

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client.hiding import Hiding
from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.client.transport.exchange import lower_case
from airflow_provider_whiterabbit.client.transport.failures import root_cause_text
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.emulator import Emulator, effects
from tests.client.transports import Fetch, records_and_streams, settings_for

HOSTILE = "half an emoji \ud83d, nothing \0, red \x1b[31m"
READABLE = "half an emoji \ufffd, nothing \ufffd, red \ufffd[31m"


@records_and_streams
@pytest.mark.parametrize(
    "body",
    [
        {"message": HOSTILE, "code": "C", "statusCode": 404},
        {"message": HOSTILE, "error": "C"},
        {"errors": [{"code": "C", "message": HOSTILE}]},
        {"errors": [{"code": "C", "message": [HOSTILE]}]},
    ],
    ids=["code", "error", "errors", "list"],
)
def test_errors_of_the_api(whiterabbit_emulator: Emulator, fetch: Fetch, body: object) -> None:
    """The message and the attributes of a refusal hold U+FFFD instead of what is not fit."""
    whiterabbit_emulator.fault(effects.Answer(404, body), times=None)
    with pytest.raises(exc.WhiteRabbitNotFoundError) as caught:
        fetch(settings_for(whiterabbit_emulator), "e-1")
    assert f"C: {READABLE}" in str(caught.value)
    assert caught.value.errors == (("C", READABLE),)


@records_and_streams
def test_header_that_is_not_utf8(whiterabbit_emulator: Emulator, fetch: Fetch) -> None:
    """A byte of a header that is not UTF-8 does no harm: aiohttp reads it as a lone surrogate."""
    page = effects.Answer(200, "<html>", headers={"Content-Type": "text/\xff\x9b"})
    whiterabbit_emulator.fault(page, times=None)
    with pytest.raises(exc.WhiteRabbitTransportError, match="text/") as caught:
        fetch(settings_for(whiterabbit_emulator), "e-1")
    assert str(caught.value) == clean(str(caught.value))


def test_headers() -> None:
    """Values of headers become fit and bounded where they enter."""
    assert lower_case({"X-A": "a\udcff\x7f", "X-B": "b\tc"}) == {"x-a": "a\ufffd\ufffd", "x-b": "b\tc"}
    assert len(lower_case({"X-A": "x" * 100_000})["x-a"]) == 2_000


def test_errors_of_libraries() -> None:
    """A library's error that quotes the server becomes fit and bounded."""
    assert root_cause_text(OSError(HOSTILE), Hiding()) == f"OSError: {READABLE}"
    assert len(root_cause_text(OSError("x" * 100_000), Hiding())) < 600


def test_links(whiterabbit_emulator: Emulator) -> None:
    """A link holds nothing that Airflow can't store as XCom, whatever the connection's template holds."""
    template = "https://dashboard.example/\ud83d/{execution_id}"
    settings = settings_for(whiterabbit_emulator, execution_url=template)
    assert settings.link_to(EXECUTION, "e-1") == "https://dashboard.example/\ufffd/e-1"


@records_and_streams
def test_secrets_that_the_server_repeats(whiterabbit_emulator: Emulator, fetch: Fetch) -> None:
    """A refusal that quotes the API key, or another secret of the request, shows three stars instead."""
    secrets = {"callback_secret": 'a "secret" é', "callback_headers": {"X-Team": "payments", "X-N": "7"}}
    settings = settings_for(whiterabbit_emulator, **secrets)
    quoted = f"key {settings.api_key}, secret {secrets['callback_secret']}, headers payments and 7"
    refusal = {"errors": [{"code": settings.api_key, "message": "x" * 490 + settings.api_key}, {"message": quoted}]}
    whiterabbit_emulator.fault(effects.Answer(400, refusal), times=None)
    with pytest.raises(exc.WhiteRabbitInvalidRequestError) as caught:
        fetch(settings, "e-1")
    error = caught.value
    assert error.errors == (("***", "x" * 490 + "***"), ("", "key ***, secret ***, headers *** and 7"))
    for text in (str(error), repr(error)):
        assert settings.api_key[:8] not in text
