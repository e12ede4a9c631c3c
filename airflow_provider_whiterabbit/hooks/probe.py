"""What *Test* says about a connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.wire import answers

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.transport.sync import Client


def probe(get_client: Callable[[], Client]) -> tuple[bool, str]:
    """Read the execution with the nil UUID, which does not exist, and tell from the refusal what is right and wrong.

    :return: whether the connection works, and why; never anything secret.
    """
    try:
        client = get_client()
        try:
            client.send(api.get_execution(api.NIL_UUID))
        except (exc.WhiteRabbitNotFoundError, exc.WhiteRabbitPermissionError) as error:
            return _accepted(error, client.clock_offset)
    except exc.WhiteRabbitAuthenticationError as error:
        return False, _refused(error)
    except exc.WhiteRabbitTransportError as error:
        return False, f"White Rabbit can't be reached: {error}"
    except exc.WhiteRabbitError as error:
        return False, str(error)
    return False, "The server knows an execution that can't exist; the host is not White Rabbit's API."


def _accepted(error: exc.WhiteRabbitResponseError, clock_offset: float) -> tuple[bool, str]:
    if not error.errors:  # any web server answers 404 or 403, but only the API says so in the API's words
        return False, f"{error}. That is not how White Rabbit's API answers; check the connection's host."
    message = "White Rabbit accepted the key and the signature"
    if isinstance(error, exc.WhiteRabbitPermissionError):
        message += ", but this key may not read executions"
    if clock_offset:
        message += f". {answers.clock_in_words(clock_offset)}: set it"
    return True, f"{message}."


def _refused(error: exc.WhiteRabbitAuthenticationError) -> str:
    if error.clock_offset is not None and abs(error.clock_offset) >= answers.CLOCK_WINDOW:
        return f"Set this machine's clock. {error}."
    return f"White Rabbit refused the API key or the signature made with the API secret. {error}."
