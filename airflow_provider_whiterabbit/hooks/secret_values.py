"""Reads the secrets that the inputs of a submission name, through Airflow's secrets backends, in the worker."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitConfigError,
    WhiteRabbitInputError,
    WhiteRabbitSecretError,
)
from airflow_provider_whiterabbit.secrets import MARK, SecretName, as_names, check_text, names_in, replaced, texts_in

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.transport.exchange import ClientBase
    from airflow_provider_whiterabbit.client.wire.messages import Request

_REMEDY = "Airflow says the same while a secrets backend is down"


class SecretValues:
    """The values of secrets, by their names: each is read once, and masked in the logs. It can't be pickled.

    :param get_connection: returns an Airflow connection, by its id.
    """

    __slots__ = ("_get_connection", "_values")

    def __init__(self, get_connection: Callable[[str], Any]) -> None:
        self._get_connection = get_connection
        self._values: dict[SecretName, str] = {}

    def __reduce__(self) -> Any:
        raise TypeError("an object that holds secrets can't be pickled")

    def known(self) -> Collection[str]:
        """Return the values that were read."""
        return self._values.values()

    def read(self, value: Any, place: str, approved: Collection[SecretName]) -> None:
        """Read the secrets that a value of a submission names.

        :param place: where the value stands, as ``input``.
        :param approved: the names that the value may hold.
        :raises WhiteRabbitInputError: if it holds another name, or a mark without one. The message has the place.
        :raises WhiteRabbitSecretError: if there is no such variable or connection.
        :raises WhiteRabbitConfigError: if the connection has no such field, or what is named is empty.
        """
        for where, text in texts_in(value, place):
            if MARK not in text:
                continue
            check_text(text, where)
            for name in names_in(text):
                if name not in approved:
                    raise WhiteRabbitInputError(
                        f"{where} names {name.described}, which the text of the DAG does not name itself, or data "
                        f"names too: data could name any secret. If that is intended, allow it: "
                        f'allowed_secrets=["{name}"]'
                    )
                self.read_name(name, where)

    def read_name(self, name: SecretName, place: str) -> None:
        """Read one secret, as `read` does, unless it was read before."""
        if name not in self._values:
            self._values[name] = self._value_of(name, place)

    def filled(self, value: Any) -> Any:
        """Return a value of a submission with secrets in place of their names; all of them were read."""
        if isinstance(value, str):
            return replaced(value, self._values)
        if isinstance(value, Mapping):
            return {name: self.filled(member) for name, member in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
            return [self.filled(item) for item in value]
        return value

    def _value_of(self, name: SecretName, place: str) -> str:
        from airflow_provider_whiterabbit.compat import mask_secret

        value = self._from_connection(name, place) if name.variable is None else self._from_variable(name, place)
        value = value.rstrip("\r\n")  # of a file from which it was stored
        if not value:
            raise WhiteRabbitConfigError(f"{place} names {name.described}, which is empty")
        try:
            value.encode()
        except UnicodeEncodeError:  # Airflow's masking of secrets would raise an error without a name
            raise WhiteRabbitConfigError(f"{place} names {name.described}, which is not valid Unicode text") from None
        mask_secret(value)
        return value

    def _from_variable(self, name: SecretName, place: str) -> str:
        from airflow_provider_whiterabbit.compat import Variable

        try:
            value = Variable.get(str(name.variable), None)
        except Exception as error:
            raise _unreadable(name, place, error) from None
        if value is None:
            raise WhiteRabbitSecretError(f"{place} names {name.described}, but there is no such variable. {_REMEDY}")
        return str(value)

    def _from_connection(self, name: SecretName, place: str) -> str:
        from airflow_provider_whiterabbit.compat import AirflowNotFoundException

        try:
            connection = self._get_connection(str(name.connection))
        except AirflowNotFoundException as error:
            raise WhiteRabbitSecretError(
                f"{place} names {name.described}, but there is no such connection. {_REMEDY}"
            ) from error
        except Exception as error:
            raise _unreadable(name, place, error) from None
        if name.field.startswith("extra."):
            extra = connection.extra_dejson
            value = extra.get(name.field.removeprefix("extra.")) if isinstance(extra, Mapping) else None
        else:
            value = getattr(connection, name.field)
        if value is None or isinstance(value, bool | dict | list):
            what = "missing" if value is None else f"no text, but a {type(value).__name__}"
            raise WhiteRabbitConfigError(f"{place} names {name.described}, which is {what}")
        return str(value)


class SecretReadingMixin:
    """Mixin for the hook: its submissions can name secrets."""

    get_connection: Callable[[str], Any]
    get_conn: Callable[[], ClientBase]

    @cached_property
    def secret_values(self) -> SecretValues:
        """The secrets that this hook has read."""
        return SecretValues(self.get_connection)

    def read_secrets(self, values: Mapping[str, Any], approved: Collection[SecretName]) -> None:
        """Read the secrets that values of a submission name; from then on the client hides them in all answers.

        :param values: the values by their places, as ``input``.
        :param approved: the names that they may hold.
        :raises WhiteRabbitError: as `SecretValues.read`.
        """
        for place, value in values.items():
            self.secret_values.read(value, place, approved)
        if known := self.secret_values.known():
            self.get_conn().hiding.add(known)

    def _requests(
        self, request_for: Callable[..., Request], values: Mapping[str, Any], allowed: Collection[str]
    ) -> tuple[Request, Request]:
        """Return a request with the names of secrets in it, and with the secrets instead.

        :param request_for: validates the values, and returns the request.
        :param allowed: the names that they may hold.
        """
        named = request_for(**values)  # validates what is not secret
        return named, request_for(**self._with_secrets(values, allowed))

    def _with_secrets(self, values: Mapping[str, Any], allowed: Collection[str]) -> dict[str, Any]:
        """Return values of a submission with secrets in place of their names.

        :param allowed: the names that they may hold.
        """
        self.read_secrets(values, as_names(allowed))
        return {place: self.secret_values.filled(value) for place, value in values.items()}


def _unreadable(name: SecretName, place: str, error: Exception) -> WhiteRabbitSecretError:
    # The text of a backend's error is not shown: it may quote what the backend holds.
    return WhiteRabbitSecretError(f"{place} names {name.described}, which could not be read ({type(error).__name__})")
