"""What the operator of components asks of White Rabbit's component catalogue: checks of its arguments, and names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.exceptions import WhiteRabbitError
from airflow_provider_whiterabbit.own_fields import is_deferred
from airflow_provider_whiterabbit.secrets import MARK

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook


def is_open(value: Any, type_name: Any) -> bool:
    """Return whether a value in `input` or `config` can't be checked against its schema, because another replaces it.

    The value of a secret is a text, which is right for no other types than these.

    :param type_name: the schema's type; None if it has none.
    """
    if is_deferred(value) or hasattr(value, "template_fields"):  # Airflow renders the fields of such an object
        return True
    return isinstance(value, str) and MARK in value and type_name in (None, "string", "bigint")


def similar_names(hook: WhiteRabbitHook, module: str) -> str:
    """Return a hint with similar component names if the component does not exist; else an empty string."""
    from airflow_provider_whiterabbit.client import api, catalogue

    try:
        definitions = catalogue.definitions(hook.get_conn().send(api.get_components(), within=10))
        catalogue.find(definitions, module)
    except WhiteRabbitError as error:  # the server's own error matters more
        return str(error) if "did you mean" in str(error) else ""
    return ""
