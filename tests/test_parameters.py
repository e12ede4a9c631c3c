"""Signatures and docstrings of operators and sensors show every parameter, and those of Airflow are known too."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_whiterabbit import parameters
from airflow_provider_whiterabbit.compat import BaseOperator, BaseSensorOperator
from airflow_provider_whiterabbit.operators.base import WhiteRabbitSubmitOperator
from airflow_provider_whiterabbit.operators.callbacks import WhiteRabbitReplayCallbacksOperator
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator
from airflow_provider_whiterabbit.sensors.base import WhiteRabbitSensor
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from airflow_provider_whiterabbit.sensors.workflow import WhiteRabbitWorkflowRunSensor

OPERATORS: list[type[Any]] = [
    WhiteRabbitSubmitOperator,
    WhiteRabbitExecuteComponentOperator,
    WhiteRabbitTriggerWorkflowOperator,
    WhiteRabbitReplayCallbacksOperator,
]
SENSORS: list[type[Any]] = [WhiteRabbitSensor, WhiteRabbitExecutionSensor, WhiteRabbitWorkflowRunSensor]
CHILDREN = [
    (child, base)
    for base in (WhiteRabbitSubmitOperator, WhiteRabbitSensor)
    for child in [*OPERATORS, *SENSORS]
    if issubclass(child, base) and child is not base
]


def parameters_of(task: type[Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a class but ``self``."""
    return {name: found for name, found in inspect.signature(task.__init__).parameters.items() if name != "self"}


def described(task: type[Any]) -> dict[str, str]:
    """Return the description of each parameter in a class's docstring."""
    texts = re.split(r"^:param (\w+): ", inspect.cleandoc(task.__doc__ or ""), flags=re.MULTILINE)[1:]
    return {name: " ".join(text.split()) for name, text in zip(texts[::2], texts[1::2], strict=True)}


@pytest.mark.parametrize("task", [*OPERATORS, *SENSORS])
def test_docstrings(task: type[Any]) -> None:
    """The docstring describes each parameter of the signature, in its order or another, and no other."""
    shown = parameters_of(task)
    assert shown.pop("kwargs").annotation.startswith("Unpack[")
    assert described(task).keys() == shown.keys()
    templated = {name for name, text in described(task).items() if "templated" in text.lower()}
    assert templated <= set(task.template_fields)
    assert "See " not in (task.__doc__ or "")


@pytest.mark.parametrize(("child", "base"), CHILDREN)
def test_shared_parameters(child: type[Any], base: type[Any]) -> None:
    """What classes share has the same default, type and description in each: users read one of them alone."""
    own, shared = parameters_of(child), parameters_of(base)
    assert {name: own[name] for name in shared} == shared
    assert {name: described(child)[name] for name in described(base)} == described(base)
    assert set(base.template_fields) <= set(child.template_fields)


@pytest.mark.parametrize(
    ("base", "names"),
    [(BaseOperator, parameters.OperatorParameters), (BaseSensorOperator, parameters.SensorParameters)],
)
def test_parameters_of_airflow(base: type[Any], names: Any) -> None:
    """The classes for type checkers have every parameter of the installed Airflow's own classes."""
    taken = set(parameters_of(base)) - {"kwargs", "timeout", "poke_interval"}
    assert taken <= set(names.__annotations__)


@pytest.mark.parametrize("name", ["parameters", "decorators.parameters", "operators.component_types"])
def test_only_type_checkers_import_the_types(name: str) -> None:
    """The types cost no import when a DAG is parsed."""
    package = Path(parameters.__file__).parent
    imported = rf"(import|from) {re.escape(f'airflow_provider_whiterabbit.{name}')}\b"
    # One of these modules may import another.
    paths = [path for path in package.rglob("*.py") if path.name not in ("parameters.py", "component_types.py")]
    users = [text for text in (path.read_text() for path in paths) if re.search(rf"^ *{imported}", text, re.MULTILINE)]
    assert users
    for text in users:
        assert re.search(rf"^    {imported}", text, re.MULTILINE)
        assert not re.search(rf"^{imported}", text, re.MULTILINE)
