"""The connection test: what *Test* in Airflow's web UI says about a connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.wire import answers

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
    from airflow_provider_whiterabbit.client.transport.sync import Client


def probe(get_client: Callable[[], Client]) -> tuple[bool, str]:
    """Test a connection by reading the execution whose id is the nil UUID, an execution that never exists.

    White Rabbit answers 404 if it accepts the key and the signature.

    :param get_client: returns a client with the settings of the connection, or raises what is wrong with them.
    :return: whether the connection works, and a message for the user; the message never holds a secret.
    """
    try:
        client = get_client()
    except exc.WhiteRabbitError as error:
        return False, str(error)  # names the connection
    works, message = _answer(client)
    return works, message if works else f"{_place(client.settings)}: {message}"


def _answer(client: Client) -> tuple[bool, str]:
    try:
        client.send(api.get_execution(api.NIL_UUID))
    except (exc.WhiteRabbitNotFoundError, exc.WhiteRabbitPermissionError) as error:
        return _key_accepted(error, client.clock_offset)
    except exc.WhiteRabbitAuthenticationError as error:
        return False, _key_refused(error)
    except exc.WhiteRabbitTransportError as error:
        return False, f"White Rabbit can't be reached: {error}".replace(client.settings.prefix, "", 1)
    except exc.WhiteRabbitError as error:
        return False, str(error)
    return False, "The server returned an execution that can't exist; check the connection's host."


def _place(settings: ClientSettings) -> str:
    """Return what was tested; Airflow's web UI tests a copy of the connection, whose id no user knows."""
    host = urlsplit(settings.base_url).netloc
    return f"Connection {settings.connection_id}, host {host}" if settings.connection_id else f"Host {host}"


def _key_accepted(error: exc.WhiteRabbitResponseError, clock_offset: float) -> tuple[bool, str]:
    if not error.errors:  # any web server answers 404 or 403, but only White Rabbit sends its error codes
        return False, f"{error}. The answer is not one of White Rabbit's API; check the connection's host."
    message = "White Rabbit accepted the key and the signature"
    if isinstance(error, exc.WhiteRabbitPermissionError):
        message += ", but this key may not read executions"
    if clock_offset:
        message += f". {answers.clock_message(clock_offset)}: set it"
    return True, f"{message}."


def _key_refused(error: exc.WhiteRabbitAuthenticationError) -> str:
    if error.clock_offset is not None and abs(error.clock_offset) >= answers.CLOCK_WINDOW:
        return f"Set this machine's clock. {error}."
    return f"White Rabbit refused the API key or the signature made with the API secret. {error}."
