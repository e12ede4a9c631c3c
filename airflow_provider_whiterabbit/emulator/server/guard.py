"""Keeps web pages away from the control endpoints: a page in a browser can send requests to this machine too."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from airflow_provider_whiterabbit.emulator.world.errors import ApiError


def refusal(headers: Headers, hosts: Collection[str]) -> ApiError | None:
    """Return the error 403 for a request to a control endpoint that may come from a web page; None for another.

    Browsers announce the page in ``Origin`` or ``Sec-Fetch-Site``. After DNS rebinding they may not, because the page's
    own name then leads to the emulator; but ``Host`` holds that name.

    :param hosts: names under which the emulator may be reached, beside IP addresses and ``localhost``.
    """
    if "origin" in headers or headers.get("sec-fetch-site", "none") != "none":
        return ApiError(403, "FROM_A_WEB_PAGE", "The emulator can't be controlled from a web page.")
    if not _is_named(headers.get("host", ""), hosts):
        return ApiError(
            403,
            "UNKNOWN_HOST",
            f"The emulator can't be controlled as {headers.get('host', '')!r:.80}, but at an IP address, as localhost,"
            " or under a name that --control-host or Emulator(control_hosts=…) gives.",
        )
    return None


def _is_named(host: str, hosts: Collection[str]) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost" or name in {allowed.lower() for allowed in hosts}:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
