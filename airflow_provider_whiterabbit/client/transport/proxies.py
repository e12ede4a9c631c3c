"""Which proxy a host is reached through, by the environment variables ``HTTPS_PROXY``, ``NO_PROXY`` etc."""

from __future__ import annotations

import ipaddress
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError

_PORTS = {"https": 443, "http": 80}
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def proxy_for(base_url: str) -> str | None:
    """Return the URL of the environment's proxy for a base URL, perhaps with a password; None for no proxy.

    :raises WhiteRabbitConfigError: if not both clients can use the proxy.
    """
    url = urlsplit(base_url)
    host, port = url.hostname or "", url.port or _PORTS.get(url.scheme)
    proxies = getproxies_environment()
    found: str | None = proxies.get(url.scheme) or proxies.get("all")
    place = url.netloc if url.port else f"{url.netloc.rstrip(':')}:{port}"  # an entry may name the port
    if found is None or checks.is_loopback(host) or proxy_bypass_environment(place, proxies):
        return None
    address = _address(host)
    if address is not None and any(_contains(entry, address, port) for entry in proxies.get("no", "").split(",")):
        return None
    if "://" not in found:
        found = f"http://{found}"
    if not checks.is_http_url(found) or not _is_usable(found):
        raise WhiteRabbitConfigError(
            f"The proxy for {url.scheme} in the environment must be an http:// or https:// URL; "
            "set NO_PROXY for White Rabbit's host to connect without it."
        )
    return found


def _is_usable(proxy: str) -> bool:
    """Return whether the clients' libraries read a URL as the standard library does, and can send its password."""
    try:
        unquote(urlsplit(proxy).netloc.rpartition("@")[0]).encode("latin-1")  # the charset of Basic authentication
    except UnicodeEncodeError:
        return False
    return "\\" not in proxy


def _contains(entry: str, address: _Address, port: int | None) -> bool:
    """Return whether an entry of ``NO_PROXY`` is an IP address, perhaps with a port, or a network with the address.

    Python's `proxy_bypass_environment` compares texts: it knows no networks, and no IPv6 address without brackets.

    :param entry: such as ``10.0.0.0/8``, ``2001:db8::/32``, ``2001:db8::1`` or ``[2001:db8::1]:8443``.
    """
    entry = entry.strip()
    host, bracket, rest = entry.removeprefix("[").partition("]")
    if bracket and rest.startswith(":") and rest != f":{port}":
        return False
    network = host if rest.startswith(":") else host + rest  # ``[2001:db8::]/32`` is a network too
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _address(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
