"""Client settings: base URLs, credentials, CA bundles and proxies are validated, and secrets are never shown."""

from __future__ import annotations

import base64
import copy
import math
import os
from pathlib import Path
from typing import Any

import certifi
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from airflow_provider_whiterabbit.client.transport.base_url import DEFAULT_BASE_URL, check_base_url
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError

KEY = "ws_0123456789abcdef"
SECRET = base64.b64encode(
    Ed25519PrivateKey.from_private_bytes(bytes(range(32))).private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    )
).decode()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove proxies and CA bundles from the environment."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "REQUEST_METHOD"):
            monkeypatch.delenv(name)


def settings(base_url: str = DEFAULT_BASE_URL, **changes: Any) -> ClientSettings:
    """Return valid settings, with some fields changed."""
    return ClientSettings(**{"base_url": base_url, "api_key": KEY, "api_secret": SECRET, **changes})


@pytest.mark.parametrize(
    "base_url",
    [
        DEFAULT_BASE_URL,
        f"{DEFAULT_BASE_URL}/",
        "https://api.example.org:8443",
        "HTTPS://API.example.org",
        "https://192.0.2.1",
        "https://[2001:db8::1]:8443",
        "http://localhost:8080",
        "http://LOCALHOST",
        "http://emulator.localhost",
        "http://127.0.0.1:8080",
        "http://127.1.2.3",
        "http://[::1]:8080",
    ],
)
def test_base_urls(base_url: str) -> None:
    """A base URL may be HTTPS to any host, or plain HTTP to this machine, with or without a port."""
    assert settings(base_url).base_url == base_url


@pytest.mark.parametrize(
    ("base_url", "reason"),
    [
        ("", "no scheme"),
        ("api.example.org", "no scheme"),
        ("localhost:8080", "no scheme"),
        ("//api.example.org", "no scheme"),
        ("https://", "no scheme"),
        ("https:///v1", "no scheme"),
        ("ftp://api.example.org", "must be https"),
        ("ws://api.example.org", "must be https"),
        ("https://api.example.org/v1", "path or a query"),
        ("https://api.example.org//", "path or a query"),
        ("https://api.example.org?a=b", "path or a query"),
        ("https://api.example.org#a", "path or a query"),
        ("https://api.example.org?", "path or a query"),
        ("https://api.example.org/#", "path or a query"),
        ("https://api.example.org:port", "not a URL"),
        ("https://api.example.org:99999", "not a URL"),
        ("https://[::1", "not a URL"),
        ("https://api..example.org", "not the name of a host"),
        ("https://.", "not the name of a host"),
        (f"https://{'a' * 64}.example.org", "not the name of a host"),
        ("https://api.example\0.org", "not the name of a host"),
        ("https://\u202eapi.example.org", "not the name of a host"),
        ("http://api.example.org", "plain HTTP"),
        ("http://localhost.example.org", "plain HTTP"),
        ("http://192.168.0.1", "plain HTTP"),
        ("http://0.0.0.0", "plain HTTP"),
    ],
)
def test_refused_base_urls(base_url: str, reason: str) -> None:
    """A base URL that is more or less than scheme, host and port is refused with the reason and the remedy."""
    with pytest.raises(WhiteRabbitConfigError, match=reason) as refused:
        settings(base_url)
    assert "The connection's host" in str(refused.value)


@pytest.mark.parametrize("rest", ["/v2/hunter2", "/?token=hunter2", "#hunter2", "/v2/ hunter2"])
def test_a_key_in_the_base_url(rest: str) -> None:
    """A path or a query can hold the key of another service, whose URL was copied by mistake; no message shows it."""
    with pytest.raises(WhiteRabbitConfigError, match=r"host 'rpc\.example\.org' has a path or a query") as refused:
        settings(f"https://rpc.example.org{rest}")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    "base_url", ["https://api example.org", "https://api.example.org ", "https://api.exam\nple.org", " https://a.org"]
)
def test_base_urls_with_white_space(base_url: str) -> None:
    """A base URL with white space is refused."""
    with pytest.raises(WhiteRabbitConfigError):
        settings(base_url)


@pytest.mark.parametrize(
    "base_url",
    [
        "https://user:hunter2@api.example.org",
        "https://hunter2@api.example.org",
        "https://:hunter2@api.example.org",
        "//user:hunter2@api.example.org",
        "user:hunter2@api.example.org",
        "ftp://user:hunter2@api.example.org/path",
    ],
)
def test_a_password_in_the_base_url(base_url: str) -> None:
    """A base URL with a password is refused, and the message does not show the password."""
    with pytest.raises(WhiteRabbitConfigError) as refused:
        settings(base_url)
    assert "hunter2" not in str(refused.value)


def test_plain_http_to_another_machine() -> None:
    """Plain HTTP to another machine needs `allow_http`, and answers over it are not trustworthy."""
    assert not settings("http://api.example.org", allow_http=True).is_trustworthy
    check_base_url("http://api.example.org", allow_http=True)
    with pytest.raises(WhiteRabbitConfigError, match="allow_http"):
        check_base_url("http://api.example.org", allow_http=False)


@pytest.mark.parametrize(
    ("base_url", "trustworthy"),
    [
        (DEFAULT_BASE_URL, True),
        ("HTTPS://api.example.org", True),
        ("http://localhost:8080", True),
        ("http://[::1]", True),
        ("http://192.168.0.1", False),
    ],
)
def test_trustworthy_answers(base_url: str, trustworthy: bool) -> None:
    """Answers over HTTPS or from this machine are trustworthy, because nobody can forge them on the way."""
    assert settings(base_url, allow_http=True).is_trustworthy is trustworthy


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"api_key": ""}, "no API key"),
        ({"api_key": "ws key"}, "'api_key'"),
        ({"api_key": "ws_key\n"}, "'api_key'"),
        ({"api_key": " ws_key"}, "'api_key'"),
        ({"api_key": "ws_kéy"}, "'api_key'"),
        ({"api_key": "ws_\x00"}, "'api_key'"),
        ({"api_secret": ""}, "no API secret"),
        ({"api_secret": "not a key!"}, "password is not base64"),
        ({"api_secret": "AAAA"}, "password does not hold"),
        ({"request_timeout": 0}, "'request_timeout'"),
        ({"request_timeout": -1}, "'request_timeout'"),
        ({"request_timeout": 3601}, "'request_timeout'"),
        ({"request_timeout": math.nan}, "'request_timeout'"),
        ({"request_timeout": math.inf}, "'request_timeout'"),
        ({"ca_bundle": "/no/such/file.pem"}, "'ca_bundle'"),
        ({"client_cert": "/no/such/file.pem"}, "'client_cert' names '/no/such/file.pem', which can't be read: No such"),
        ({"client_cert": "/"}, "'client_cert' names '/', which can't be read: Is a directory"),
        ({"client_cert": "\0"}, "'client_cert' names .* null"),
        ({"client_cert": __file__, "client_key": "/no/such.key"}, "'client_key' names '/no/such.key'"),
        ({"client_key": __file__}, "'client_key' needs 'client_cert'"),
        ({"base_url": "http://localhost", "client_cert": __file__}, "'client_cert' has no effect with plain HTTP"),
        ({"requests_at_once": 0}, "'requests_at_once' must be a whole number from 1 to 1000, got 0; .* default, 32"),
        ({"requests_at_once": 2.5}, "'requests_at_once' must be a whole number from 1 to 1000"),
        ({"requests_at_once": True}, "'requests_at_once' must be a whole number"),
        ({"requests_per_second": 10_001}, "'requests_per_second' must be a whole number from 1 to 10000, .* 250"),
        ({"request_attempts": 101}, "'request_attempts' must be a whole number from 1 to 100, .* default, 5"),
        ({"stream_silence": 19.9}, "'stream_silence' must be a number of seconds from 20 to 3600, .* default, 45"),
        ({"stream_silence": math.nan}, "'stream_silence'"),
        ({"empty_body_signature": "empty"}, "'empty_body_signature'"),
        ({"empty_body_signature": None}, "'empty_body_signature'"),
        ({"callback_headers": {"a b": "c"}}, "'callback_headers'"),
        ({"callback_headers": {"X-A": "a\nb"}}, "'X-A'"),
        ({"callback_headers": ["X-A"]}, "'callback_headers'"),
    ],
)
def test_refused_settings(changes: dict[str, Any], reason: str) -> None:
    """A field with an invalid value is refused with a message that names the field."""
    with pytest.raises(WhiteRabbitConfigError, match=reason):
        settings(**changes)


def test_secrets_are_not_shown() -> None:
    """Neither `str` nor `repr` of settings contains a key, a secret or a callback header."""
    secretive = settings(callback_secret=["hunter2"], callback_headers={"X-Token": "hunter3"})
    text = repr(secretive) + str(secretive)
    assert not [secret for secret in (KEY, SECRET, "hunter2", "hunter3") if secret in text]
    assert copy.copy(secretive) == secretive


@pytest.mark.parametrize("changes", [{"api_key": "hunter2 "}, {"callback_headers": {"X-A": "hunter2\n"}}])
def test_refusals_do_not_show_secrets(changes: dict[str, Any]) -> None:
    """The message about an invalid secret field does not show its value."""
    with pytest.raises(WhiteRabbitConfigError) as refused:
        settings(**changes)
    assert "hunter2" not in str(refused.value)


def test_order_of_trust_stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trust store is `ca_bundle`, else ``REQUESTS_CA_BUNDLE``, else ``CURL_CA_BUNDLE``, else that of certifi."""
    curl, requests = (str(tmp_path / name) for name in ("curl.pem", "requests.pem"))
    for path in (curl, requests):
        Path(path).touch()
    assert settings().trust_store == certifi.where()
    monkeypatch.setenv("CURL_CA_BUNDLE", curl)
    assert settings().trust_store == curl
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", requests)
    assert settings().trust_store == requests
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "")
    assert settings().trust_store == curl
    assert settings(ca_bundle=str(tmp_path)).trust_store == str(tmp_path)


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_missing_trust_store_of_the_environment(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CA bundle of the environment that does not exist is refused with a message that names the variable."""
    monkeypatch.setenv(variable, "/no/such/file.pem")
    with pytest.raises(WhiteRabbitConfigError, match=variable):
        settings()


@pytest.mark.parametrize(
    ("base_url", "environment", "expected"),
    [
        (DEFAULT_BASE_URL, {}, None),
        (DEFAULT_BASE_URL, {"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        (DEFAULT_BASE_URL, {"https_proxy": "https://proxy:3128"}, "https://proxy:3128"),
        (DEFAULT_BASE_URL, {"HTTPS_PROXY": "http://upper:1", "https_proxy": "http://lower:1"}, "http://lower:1"),
        (DEFAULT_BASE_URL, {"HTTPS_PROXY": ""}, None),
        (DEFAULT_BASE_URL, {"HTTP_PROXY": "http://proxy:3128"}, None),
        (DEFAULT_BASE_URL, {"ALL_PROXY": "http://all:3128"}, "http://all:3128"),
        (DEFAULT_BASE_URL, {"ALL_PROXY": "http://all:1", "HTTPS_PROXY": "http://proxy:1"}, "http://proxy:1"),
        (DEFAULT_BASE_URL, {"HTTPS_PROXY": "http://user:pass@proxy:3128"}, "http://user:pass@proxy:3128"),
        (DEFAULT_BASE_URL, {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "api.whiterabbit.app"}, None),
        (DEFAULT_BASE_URL, {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "localhost, .whiterabbit.app"}, None),
        (DEFAULT_BASE_URL, {"HTTPS_PROXY": "http://proxy:1", "no_proxy": "whiterabbit.app"}, None),
        (DEFAULT_BASE_URL, {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "*"}, None),
        (DEFAULT_BASE_URL, {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "*.whiterabbit.app"}, "http://proxy:1"),
        (DEFAULT_BASE_URL, {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "rabbit.app"}, "http://proxy:1"),
        (DEFAULT_BASE_URL, {"HTTPS_PROXY": "socks5://proxy:1", "NO_PROXY": ".whiterabbit.app"}, None),
        ("https://a.org:8443", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "a.org:8443"}, None),
        ("https://a.org:8443", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "a.org"}, None),
        ("https://a.org:8443", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "a.org:443"}, "http://proxy:1"),
        (DEFAULT_BASE_URL, {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "api.whiterabbit.app:443"}, None),
        (DEFAULT_BASE_URL, {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "api.whiterabbit.app:80"}, "http://proxy:1"),
        ("https://10.1.2.3", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "10.1.2.3:443"}, None),
        ("https://[2001:db8::1]", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "[2001:db8:0::1]:443"}, None),
        ("https://10.1.2.3", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "10.0.0.0/8"}, None),
        ("https://10.1.2.3:8443", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "a.org, 10.1.2.9/24 "}, None),
        ("https://10.1.2.3", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "10.1.2.3/32"}, None),
        ("https://10.1.2.3", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "11.0.0.0/8,::/0"}, "http://proxy:1"),
        ("https://10.1.2.3", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "10.0.0.0/64,/8,10.0/8"}, "http://proxy:1"),
        ("https://10.example.org", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "10.0.0.0/8"}, "http://proxy:1"),
        ("https://[2001:db8::1]", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "2001:db8::1"}, None),
        ("https://[2001:db8::1]:8443", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "2001:DB8:0::1"}, None),
        ("https://[2001:db8::1]:8443", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "[2001:db8:0::1]"}, None),
        ("https://[2001:db8::1]:8443", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "[2001:db8:0::1]:8443"}, None),
        (
            "https://[2001:db8::1]",
            {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "[2001:db8::1]:8443"},
            "http://proxy:1",
        ),
        ("https://[2001:db8::1]", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "2001:db8::/32"}, None),
        ("https://[2001:db8::1]", {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "2001:db9::/32"}, "http://proxy:1"),
        ("http://127.0.0.1:8080", {"HTTPS_PROXY": "http://proxy:1"}, None),
        ("http://127.0.0.1:8080", {"HTTP_PROXY": "http://proxy:1"}, None),
        ("http://localhost:8080", {"ALL_PROXY": "http://proxy:1"}, None),
        ("http://a.org", {"HTTP_PROXY": "http://proxy:1"}, "http://proxy:1"),
        (DEFAULT_BASE_URL, {"HTTPS_PROXY": "proxy:3128"}, "http://proxy:3128"),
        ("HTTPS://a.org", {"HTTPS_PROXY": "http://proxy:1"}, "http://proxy:1"),
    ],
)
def test_proxies(
    base_url: str, environment: dict[str, str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy comes from the environment variables that other programs use, and `NO_PROXY` excludes hosts."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert settings(base_url, allow_http=True).proxy == expected


@pytest.mark.parametrize(
    "proxy", ["socks5://u:hunter2@proxy:1080", "socks5h://proxy", "ftp://proxy", "http://", "http://[:1"]
)
def test_refused_proxies(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy without a valid HTTP URL is refused; the message names ``NO_PROXY`` and does not show the password."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(WhiteRabbitConfigError, match="NO_PROXY") as refused:
        _ = settings().proxy
    assert "hunter2" not in str(refused.value)
