"""Types for the modules that ``components generate`` writes; only type checkers import this module.

Generated modules are in the repositories of users, so these names stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Protocol, SupportsIndex, TypeAlias, TypeVar, overload

from airflow_provider_whiterabbit.compat import XComArg
from airflow_provider_whiterabbit.operators.doubt import OnDoubt, OnFailedExecution
from airflow_provider_whiterabbit.operators.earlier import OnClear
from airflow_provider_whiterabbit.parameters import OperatorParameters, Seconds
from airflow_provider_whiterabbit.parameters import Rendered as Rendered
from airflow_provider_whiterabbit.templates import SecretText

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class ListOrTuple(Protocol[T_co]):
    """A sequence that is not a text: `str` takes only texts in ``__contains__``, so it does not fit."""

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> T_co: ...
    @overload
    def __getitem__(self, index: slice, /) -> ListOrTuple[T_co]: ...
    def __contains__(self, value: object, /) -> bool: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[T_co]: ...


Text: TypeAlias = str | XComArg
"""A text, a template, the name of a secret, or another task's output."""

BigInt: TypeAlias = int | str | XComArg
"""An integer or its text, a template, the name of a secret, or another task's output."""

Number: TypeAlias = float | Rendered
Flag: TypeAlias = bool | Rendered
Object: TypeAlias = Mapping[str, Any] | Rendered
Items: TypeAlias = ListOrTuple[T] | Rendered

Named: TypeAlias = Rendered | SecretText
"""What may stand for one of some allowed values."""

Whole: TypeAlias = str | XComArg
"""What may stand for a whole input or config: the name of a JSON file, a template, or another task's output."""


class ComponentParameters(OperatorParameters, total=False):
    """The parameters of `WhiteRabbitTypedOperator` beside `input` and `config`."""

    allowed_secrets: Collection[str]
    assigned_users: list[dict[str, str]] | None
    attempts: int | Rendered | None
    callback: bool | str | XComArg
    callback_url: str | XComArg | None
    deferrable: bool
    end_from_trigger: bool | None
    inline_wait: Seconds
    on_clear: OnClear | Rendered
    on_doubt: OnDoubt | Rendered | None
    on_failed_execution: OnFailedExecution | Rendered
    poll_interval: Seconds
    timeout: Seconds | None
    validate: bool | Rendered
    wait_for_completion: bool | Rendered
    whiterabbit_conn_id: str | XComArg
