"""Checks the base URL of White Rabbit's API, which the host of an Airflow connection holds."""

from __future__ import annotations

from urllib.parse import urlsplit

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError

DEFAULT_BASE_URL = "https://api.whiterabbit.app"


def check_base_url(base_url: str, *, allow_http: bool) -> None:
    """Check that the base URL of White Rabbit's API has a scheme and a host, but no path and no password.

    :raises WhiteRabbitConfigError: if it can't be used. The message says why.
    """
    remedy = f"Set the connection's host to the base URL, as {DEFAULT_BASE_URL}, or leave it empty for that one."
    try:
        url = urlsplit(base_url)
        _ = url.port
    except ValueError:
        raise WhiteRabbitConfigError(f"The connection's host is not a URL. {remedy}") from None
    if "@" in base_url:
        raise WhiteRabbitConfigError(f"The connection's host holds a user name or password. {remedy}")
    if "://" not in base_url or not url.hostname:
        raise WhiteRabbitConfigError(f"The connection's host {base_url!r} has no scheme. {remedy}")
    if url.scheme not in ("https", "http"):
        raise WhiteRabbitConfigError(f"The connection's host has the scheme {url.scheme!r}; it must be https. {remedy}")
    if url.path not in ("", "/") or "?" in base_url or "#" in base_url:  # which can hold another service's key
        raise WhiteRabbitConfigError(f"The connection's host {url.netloc!r} has a path or a query. {remedy}")
    if any(character.isspace() for character in base_url):
        raise WhiteRabbitConfigError(f"The connection's host {base_url!r} holds white space. {remedy}")
    if not base_url.isprintable() or not _is_name(url.hostname):
        raise WhiteRabbitConfigError(f"The connection's host {base_url!r:.300} is not the name of a host. {remedy}")
    if url.scheme == "http" and not allow_http and not checks.is_loopback(url.hostname):
        raise WhiteRabbitConfigError(
            f"The connection's host {base_url!r} is plain HTTP, which would show the API key to anyone on the way. "
            "Use https, or set the extra field 'allow_http' to true if you must."
        )


def _is_name(host: str) -> bool:
    """Return whether each label of a host's name has 1 to 63 characters (RFC 1035, section 2.3.4), also in Punycode."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True
