"""The code of tasks that submit in different ways: with an operator of one input, with one of many, and under keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from airflow_provider_whiterabbit.compat import get_current_context
from airflow_provider_whiterabbit.hooks.once import Once
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.components import WhiteRabbitExecuteComponentsOperator

Code = Callable[[Once], Any]


def one(payee: str, **options: Any) -> WhiteRabbitExecuteComponentOperator:
    """Return an operator that pays one payee."""
    return WhiteRabbitExecuteComponentOperator(task_id="pay", module="PAY", input={"to": payee}, **options)


def many(*payees: str, **options: Any) -> WhiteRabbitExecuteComponentsOperator:
    """Return an operator that pays many payees."""
    inputs = [{"to": payee} for payee in payees]
    return WhiteRabbitExecuteComponentsOperator(task_id="pay", module="PAY", inputs=inputs, **options)


def by_one(*payees: str, **options: Any) -> Code:
    """Return code that pays the first payee with an operator of one input."""
    operator = one(payees[0], **options)
    return lambda _: operator.execute(get_current_context())


def by_many(*payees: str, **options: Any) -> Code:
    """Return code that pays with an operator of many inputs."""
    operator = many(*payees, **options)
    return lambda _: operator.execute(get_current_context())


def by_code(*payees: str) -> Code:
    """Return code that pays under keys."""

    def code(once: Once) -> None:
        for payee in payees:
            once.execute_component(payee, "PAY", {"to": payee})

    return code


def together(*parts: Code) -> Code:
    """Return code that submits in several ways, one after the other."""

    def code(once: Once) -> None:
        for part in parts:
            part(once)

    return code
