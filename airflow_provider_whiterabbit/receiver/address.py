"""Where this Airflow's receiver is: the URL that a task gives to White Rabbit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from airflow.providers.common.compat.sdk import conf

from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError, WhiteRabbitInputError
from airflow_provider_whiterabbit.receiver.settings import PREFIX, SECTION, served_connections

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.transport.settings import ClientSettings

_NAME = "name"


def with_own_url(
    arguments: Mapping[str, Any], callback: Any, connection_id: str, settings: ClientSettings
) -> dict[str, Any]:
    """Return the arguments of a submission with the URL of this Airflow's receiver among them.

    :param callback: True, or a name of the user's own (see `assets.named`).
    :raises WhiteRabbitInputError: if another URL or another secret was given too, or `callback` is something else.
    :raises WhiteRabbitConfigError: if no callback would arrive: no receiver, no base URL, no secret, a connection not
        served.
    """
    from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_1_PLUS

    if callback is not True and not (isinstance(callback, str) and callback):
        raise WhiteRabbitInputError(f"callback must be True, False or a name, got {callback!r:.100}")
    for name in ("callback_url", "callback_secret"):
        if arguments.get(name) is not None:
            raise WhiteRabbitInputError(f"give callback or {name}, not both")
    if not AIRFLOW_V_3_1_PLUS:
        raise WhiteRabbitConfigError("callback needs the receiver of Airflow 3.1 or newer: give callback_url instead")
    if not settings.callback_secret:
        raise WhiteRabbitConfigError(
            f"callback needs the extra field 'callback_secret' of the connection {connection_id!r}: the receiver takes "
            "nothing that is not signed"
        )
    return {**arguments, "callback_url": _url(connection_id, None if callback is True else callback)}


def name_in(url: str) -> str | None:
    """Return the name of the user's own that such a URL holds, if it does."""
    try:
        names = parse_qs(urlsplit(url).query).get(_NAME)
    except ValueError:
        return None
    return names[0] if names else None


def _url(connection_id: str, name: str | None) -> str:
    base = str(conf.get(SECTION, "callback_base_url", fallback="") or "").rstrip("/")
    if not base:
        raise WhiteRabbitConfigError(
            f"callback needs [{SECTION}] callback_base_url: where White Rabbit reaches Airflow's API server, as "
            "https://airflow.example.org"
        )
    served = served_connections()
    if served and connection_id not in served:
        raise WhiteRabbitConfigError(
            f"[{SECTION}] callback_connections does not name {connection_id!r}: its callbacks would be refused"
        )
    query = f"?{urlencode({_NAME: name})}" if name else ""
    return f"{base}{PREFIX}/callbacks/{quote(connection_id, safe='')}{query}"
