"""Web pages can't control the emulator."""

from __future__ import annotations

import http.client

import pytest
import requests

from airflow_provider_whiterabbit.emulator import Emulator
from tests.emulator.api_client import CATALOGUE


def status(wr: Emulator, path: str = "/_emulator/reset", method: str = "POST", **headers: str) -> int:
    """Send a request to the emulator with these headers (``_`` stands for ``-``), and return the status."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return requests.request(method, wr.url + path, headers=named, timeout=60).status_code


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8080"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Host": "evil.example"},
        {"Host": "evil.example:8080"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost.evil.example:80"},
        {"Host": "localhost@evil.example"},
        {"Host": "[::1"},
        {"Host": ""},
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/_emulator/reset", "/%5Femulator/reset", "/_emulator/nothing"])
def test_a_web_page_is_refused(wr: Emulator, path: str, headers: dict[str, str]) -> None:
    """A request that a browser may have sent for a page is refused, also after DNS rebinding, and does nothing."""
    wr.create_execution("X")
    assert status(wr, path, **headers) == 403
    assert len(wr.executions) == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "localhost:99"},
        {"Host": "LOCALHOST"},
        {"Host": "[::1]:80"},
        {"Host": "10.0.0.1"},
        {"Sec_Fetch_Site": "none"},
    ],
    ids=str,
)
def test_a_program_is_served(wr: Emulator, headers: dict[str, str]) -> None:
    """A program that names the emulator's address is served, and so is an address that a person has typed."""
    assert status(wr, **headers) == 200
    assert status(wr, "/_emulator/journal", "GET", **headers) == 200


def test_a_request_without_host(wr: Emulator) -> None:
    """A request of HTTP/1.0 without ``Host`` is refused."""
    connection = http.client.HTTPConnection(*wr.url.removeprefix("http://").split(":"), timeout=60)
    connection.putrequest("POST", "/_emulator/reset", skip_host=True)
    connection.endheaders()
    assert connection.getresponse().status in (400, 403)
    connection.close()


def test_hosts_of_a_user() -> None:
    """`control_hosts` are further names of the emulator."""
    with Emulator(control_hosts=["WhiteRabbit"]) as wr:
        assert status(wr, Host="whiterabbit:8080") == 200
        assert status(wr, Host="elsewhere:8080") == 403


def test_white_rabbits_own_endpoints_are_open(wr: Emulator) -> None:
    """White Rabbit's endpoints answer under any name, because tests send requests through proxies."""
    assert status(wr, CATALOGUE, "GET", Host="api.whiterabbit.app", Origin="https://app.example") == 200
