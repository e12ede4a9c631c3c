"""The URL of the callback receiver in this Airflow, which a task submits to White Rabbit as ``callback_url``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.compat import conf
from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError, WhiteRabbitInputError
from airflow_provider_whiterabbit.receiver.settings import SECTION, URL_PREFIX, served_connections

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings

_NAME_PARAMETER = "name"

_CALLBACKS_PATH = f"{URL_PREFIX}/callbacks/"


def with_receiver_url(
    arguments: Mapping[str, Any], callback: Any, connection_id: str, settings: ClientSettings
) -> dict[str, Any]:
    """Add the URL of this Airflow's callback receiver to the arguments of a submission.

    :param arguments: arguments of `WhiteRabbitHook.execute_component` by name.
    :param callback: True, or a name of the user's own (see `assets.named`).
    :param connection_id: id of the connection that the task submits with.
    :param settings: the settings of that connection.
    :return: the arguments, with `callback_url`.
    :raises WhiteRabbitInputError: if `callback` is neither True nor a name, or the arguments already hold a URL or a
        secret for the callback.
    :raises WhiteRabbitConfigError: if the receiver could not accept the callback: Airflow is too old, the base URL or
        the secret is missing, or the receiver does not serve the connection.
    """
    from airflow_provider_whiterabbit.compat import AIRFLOW_V_3_1_PLUS

    if callback is not True and not checks.is_callback_name(callback):
        raise WhiteRabbitInputError(f"callback must be True, False or a name, got {callback!r:.100}")
    for name in ("callback_url", "callback_secret"):
        if arguments.get(name) is not None:
            raise WhiteRabbitInputError(f"give callback or {name}, not both")
    if not AIRFLOW_V_3_1_PLUS:
        raise WhiteRabbitConfigError("callback needs the receiver of Airflow 3.1 or newer: give callback_url instead")
    if not settings.callback_secrets():
        raise WhiteRabbitConfigError(
            f"callback needs the extra field 'callback_secret' of the connection {connection_id!r}: the receiver "
            "refuses callbacks without a signature"
        )
    return {**arguments, "callback_url": _receiver_url(connection_id, None if callback is True else callback)}


def callback_name_in(url: str) -> str | None:
    """Return the callback name, chosen by the user, that a callback URL holds; None if the URL holds no name."""
    try:
        names = parse_qs(urlsplit(url).query).get(_NAME_PARAMETER)
    except ValueError:
        return None
    return names[0] if names else None


def connection_in(url: str) -> str | None:
    """Return the id of the connection whose callbacks go to a URL; None if the URL is not that of a receiver.

    A URL of the receiver may have more before the receiver's own path, such as the path of a reverse proxy.
    """
    try:
        _, found, quoted_id = urlsplit(url).path.partition(_CALLBACKS_PATH)
    except ValueError:
        return None
    return unquote(quoted_id) if found else None


def _receiver_url(connection_id: str, name: str | None) -> str:
    base_url = str(conf.get(SECTION, "callback_base_url", fallback="") or "").rstrip("/")
    if not base_url:
        raise WhiteRabbitConfigError(
            f"callback needs [{SECTION}] callback_base_url: the URL at which White Rabbit reaches Airflow's API "
            "server, such as https://airflow.example.org"
        )
    if not checks.is_http_url(base_url) or set(base_url) & set("?# ") or _CALLBACKS_PATH in f"{base_url}/":
        raise WhiteRabbitConfigError(
            f"[{SECTION}] callback_base_url must be a URL such as https://airflow.example.org, "
            f"without {_CALLBACKS_PATH} and without a query, got {base_url!r:.200}"
        )
    served = served_connections()
    if served and connection_id not in served:
        raise WhiteRabbitConfigError(
            f"[{SECTION}] callback_connections does not name {connection_id!r}: the receiver would refuse its callbacks"
        )
    query = f"?{urlencode({_NAME_PARAMETER: name})}" if name else ""
    return f"{base_url}{_CALLBACKS_PATH}{quote(connection_id, safe='')}{query}"
