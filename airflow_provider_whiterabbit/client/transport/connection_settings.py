"""The settings that both API clients share: White Rabbit's address, the credentials, time limits and certificates."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from airflow_provider_whiterabbit.client import checks, naming
from airflow_provider_whiterabbit.client.retry import ATTEMPTS
from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.client.transport.base_url import check_base_url
from airflow_provider_whiterabbit.client.transport.limits import LIMITS, REQUESTS_AT_ONCE, REQUESTS_PER_SECOND
from airflow_provider_whiterabbit.client.transport.proxies import proxy_for
from airflow_provider_whiterabbit.client.transport.tls import check_files
from airflow_provider_whiterabbit.client.wait.target import EXECUTION, WORKFLOW_RUN, Target
from airflow_provider_whiterabbit.client.wire.signing import EmptyBodySignature, load_private_key
from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError

DEFAULT_REQUEST_TIMEOUT = 30.0

MIN_CALLBACK_SECRET = 16
"""How many characters a callback secret has at least: whoever has seen one callback can try all short secrets."""

_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True, weakref_slot=True)
class ClientSettings:
    """The settings of a client of White Rabbit's API. The constructor validates the settings.

    :param base_url: scheme and host, perhaps a port: ``https://api.whiterabbit.app``.
    :param api_key: the workspace API key, an opaque string.
    :param api_secret: the Ed25519 private key, PKCS#8, base64 of DER or PEM.
    :param request_timeout: seconds to wait for a connection, and for each piece of an answer.
    :param ca_bundle: file or folder of CA certificates; by default that of ``REQUESTS_CA_BUNDLE`` or
        ``CURL_CA_BUNDLE``, else certifi's.
    :param client_cert: file with the certificate, as PEM, with which the client identifies itself to the server.
    :param client_key: file with that certificate's private key; by default the certificate's file holds it too.
    :param requests_per_second: how many requests of this process the host gets in a second at most.
    :param requests_at_once: how many requests for records of this process may wait for an answer at once.
    :param request_attempts: how often a call is attempted at most, if its repetition is safe.
    :param stream_silence: seconds without a byte after which a stream is dead; None for that of the client's `Timing`.
    :param http2: let triggers use HTTP/2, if the server offers it and the library h2 is installed.
    :param allow_http: permit plain HTTP to a host other than this machine.
    :param empty_body_signature: how a request without a body is signed, see `signing.signed_message`.
    :param callback_secret: HMAC key or keys of callbacks, as the connection holds them. They are validated when
        `callback_secrets` is called, because a mistake in them must not fail a task that needs none of them.
    :param callback_headers: default extra headers for those callbacks.
    :param execution_url: address of an execution in White Rabbit's dashboard, with ``{execution_id}`` for its id.
    :param workflow_run_url: address of a workflow run, with ``{workflow_run_id}`` for its id.
    :param connection_id: id of the Airflow connection, for messages; empty without Airflow.
    :param max_answer_bytes: largest answer that is read, in bytes.
    :param answer_timeouts: how many request time-outs a whole answer may take: outputs can be large.
    :raises WhiteRabbitConfigError: if a field can't be used. The message names the field and the remedy.
    """

    base_url: str
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    request_timeout: float = DEFAULT_REQUEST_TIMEOUT
    ca_bundle: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    requests_per_second: int = REQUESTS_PER_SECOND
    requests_at_once: int = REQUESTS_AT_ONCE
    request_attempts: int = ATTEMPTS
    stream_silence: float | None = None
    http2: bool = True
    allow_http: bool = False
    empty_body_signature: EmptyBodySignature = "object"
    callback_secret: Any = field(default=None, repr=False)
    callback_headers: Mapping[str, str] | None = field(default=None, repr=False)
    execution_url: str | None = None
    workflow_run_url: str | None = None
    connection_id: str = ""
    max_answer_bytes: int = 256 * 1024 * 1024
    answer_timeouts: float = 10.0

    def __post_init__(self) -> None:
        check_base_url(self.base_url, allow_http=self.allow_http)
        if not self.api_key:
            raise WhiteRabbitConfigError("The connection has no API key: set the extra field 'api_key' (ws_…).")
        if not _VISIBLE_ASCII.fullmatch(self.api_key):
            raise WhiteRabbitConfigError("The extra field 'api_key' holds spaces or other characters that no key has.")
        if not self.api_secret:
            raise WhiteRabbitConfigError("The connection has no API secret: set its password.")
        load_private_key(self.api_secret)
        if not 0 < self.request_timeout <= 3600:
            raise WhiteRabbitConfigError("The extra field 'request_timeout' must be between 0 and 3600 seconds.")
        if not os.path.exists(self.trust_store):  # noqa: PTH110 (`Path.exists` raises where the path can't be looked at)
            source = "The extra field 'ca_bundle'" if self.ca_bundle else "REQUESTS_CA_BUNDLE (or CURL_CA_BUNDLE)"
            raise WhiteRabbitConfigError(f"{source} names {self.trust_store!r}, which does not exist.")
        check_files(self.client_cert, self.client_key)
        if self.client_cert and not self.base_url.lower().startswith("https:"):
            raise WhiteRabbitConfigError(
                "The extra field 'client_cert' has no effect with plain HTTP: use https in the connection's host, or "
                "remove the field."
            )
        for name, limit in LIMITS.items():
            limit.parse(getattr(self, name), name)
        if self.empty_body_signature not in ("object", "omitted"):
            raise WhiteRabbitConfigError("The extra field 'empty_body_signature' must be 'object' or 'omitted'.")
        if self.callback_headers is not None:
            checks.headers(self.callback_headers, "callback_headers", WhiteRabbitConfigError)
        for target in (EXECUTION, WORKFLOW_RUN):
            template, placeholder = getattr(self, target.link_setting), f"{{{target.id_name}}}"
            if template is not None and not (checks.is_http_url(template) and placeholder in template):
                raise WhiteRabbitConfigError(
                    f"The extra field '{target.link_setting}' must be an http:// or https:// URL with {placeholder} in "
                    "it."
                )

    def callback_secrets(self) -> tuple[str, ...]:
        """Return the connection's callback secrets, as `callback_secrets` of this module does."""
        with self.naming_connection():
            return callback_secrets(self.callback_secret)

    @property
    def prefix(self) -> str:
        """The connection's id, for the beginning of messages about it; empty without Airflow."""
        return naming.prefix_of(self.connection_id)

    def naming_connection(self) -> AbstractContextManager[None]:
        """Put the id of the Airflow connection in front of errors about its fields."""
        return naming.naming_connection(self.connection_id)

    def link_to(self, target: Target[Any], target_id: str) -> str | None:
        """Return the URL of an execution or workflow run in White Rabbit's dashboard; None if no template is set."""
        template: str | None = getattr(self, target.link_setting)
        if template is None:
            return None
        return clean(template.replace(f"{{{target.id_name}}}", quote(target_id, safe="")))

    @property
    def secrets(self) -> Iterator[str]:
        """Yield the secrets that requests hold."""
        values = (self.api_key, *as_list(self.callback_secret), *(self.callback_headers or {}).values())
        return (value for value in values if isinstance(value, str))

    @property
    def trust_store(self) -> str:
        """Path of the file or folder with the CA certificates that the API clients trust."""
        import certifi

        found = self.ca_bundle or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        return found or certifi.where()

    @property
    def proxy(self) -> str | None:
        """URL of the proxy for White Rabbit's host, from ``HTTPS_PROXY``, ``NO_PROXY`` etc.; None for no proxy.

        :raises WhiteRabbitConfigError: if not both clients can use it.
        """
        return proxy_for(self.base_url)

    @property
    def is_trustworthy(self) -> bool:
        """Whether nobody can forge HTTP responses on the network: HTTPS is used, or the server is on this machine."""
        url = urlsplit(self.base_url)
        return url.scheme == "https" or checks.is_loopback(url.hostname or "")


def callback_secrets(value: Any) -> tuple[str, ...]:
    """Return the callback secrets in the extra field ``callback_secret`` of a connection; none if it is not set.

    White Rabbit signs the callbacks of new submissions with the first secret. Receivers accept all of them, because
    executions that were submitted earlier have an earlier secret.

    :param value: a secret, a list of secrets, or such a list as JSON text, because the fields of a form hold texts.
    :raises WhiteRabbitConfigError: if a secret is not text, or is too short.
    """
    secrets = () if value in (None, "") else tuple(as_list(value))
    if not all(isinstance(secret, str) and len(secret) >= MIN_CALLBACK_SECRET for secret in secrets):
        raise WhiteRabbitConfigError(
            f"The extra field 'callback_secret' must be text of at least {MIN_CALLBACK_SECRET} characters, or a JSON "
            "list of such texts."
        )
    return secrets


def as_list(value: Any) -> list[Any]:
    """Return a value that may be a list, or the JSON text of a list, as a list; any other value is its only item.

    A text that begins as a list but is not JSON becomes a list with None, so that a typo is not taken for a secret.
    """
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    return value if isinstance(value, list) else [value]
