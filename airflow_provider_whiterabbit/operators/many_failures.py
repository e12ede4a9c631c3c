"""The error that ends a task which could not submit all of its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.compat import AirflowException, AirflowFailException
from airflow_provider_whiterabbit.ending.verdict import INVALID, UNAUTHORIZED, no_retry_mends
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitInvalidRequestError,
    WhiteRabbitNotFoundError,
    WhiteRabbitTimeoutError,
)
from airflow_provider_whiterabbit.operators.submission import key_of

_SHOWN = 10
"""How many inputs a message names at most."""

_MAX_CAUSE = 1_000
"""How many characters of an error a message quotes at most, so that what is behind it is not cut."""


def failure_of(
    errors: Mapping[int, BaseException], progress: str, hint: Callable[[], str], *, is_finding: bool
) -> BaseException:
    """Return the error that ends the task.

    :param errors: what went wrong, by the indexes of the inputs; the first that happened comes first.
    :param progress: how many inputs are submitted, as ``412 of 1,000 inputs are submitted``.
    :param hint: returns what to do about a refusal; empty if that is not known.
    :param is_finding: whether the task still looked for what earlier tries have submitted.
    """
    doubts = [index for index, error in sorted(errors.items()) if isinstance(error, AirflowFailException)]
    if doubts:
        return _caused(
            errors[doubts[0]],
            AirflowFailException(
                f"There is a doubt about {listed([key_of(index) for index in doubts])}, so no more was submitted; "
                f"{progress}. {errors[doubts[0]]}"
            ),
        )
    index, error = next(iter(errors.items()))
    if not isinstance(error, Exception):
        return error
    if isinstance(error, WhiteRabbitTimeoutError):
        return WhiteRabbitTimeoutError(f"The time is up, and only {progress}. A later try submits the others")
    if isinstance(error, WhiteRabbitInvalidRequestError | WhiteRabbitNotFoundError):
        error.hint = hint()
    # A retry may find what was submitted, as soon as the key or the connection is valid again.
    is_final = no_retry_mends(error, () if is_finding else (*INVALID, *UNAUTHORIZED))
    cause = f"{key_of(index)}: {clean(str(error), _MAX_CAUSE).rstrip('.')}"
    so = (
        "So it is not known what earlier tries have submitted, and nothing was submitted now"
        if is_finding
        else f"So no more was submitted; {progress}"
    )
    what_next = "Correct it, and clear this task: it" if is_final else "A later try"
    text = f"{cause}. {so}. {what_next} takes what is submitted, and submits the others."
    return _caused(error, (AirflowFailException if is_final else AirflowException)(text))


def _caused(cause: BaseException, error: Exception) -> Exception:
    error.__cause__ = cause
    return error


def listed(keys: Sequence[str]) -> str:
    """Return keys for a message, which names the first of them."""
    more = f" and {len(keys) - _SHOWN:,} more" if len(keys) > _SHOWN else ""
    return f"{', '.join(keys[:_SHOWN])}{more}"
