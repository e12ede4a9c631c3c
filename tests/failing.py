"""What tests expect of a task that fails without retries."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from airflow_provider_whiterabbit.compat import AirflowFailException


@contextlib.contextmanager
def fails_for_good(cause: type[Exception], match: str | None = None) -> Iterator[pytest.ExceptionInfo[Exception]]:
    """Expect the task to end without retries because of an exception of this class, which has the same message.

    :param match: regular expression for the message.
    """
    with pytest.raises(AirflowFailException, match=match) as caught:
        yield caught
    assert isinstance(caught.value.__cause__, cause)
    assert str(caught.value).startswith(str(caught.value.__cause__))
