"""Generated operators check input and config: literals when the DAG is parsed, everything else before they submit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.compat import DAG
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.operators import component_types
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.parameters import OperatorParameters
from airflow_provider_whiterabbit.secrets import secret
from dev.harness.standins import FakeAirflow
from tests.components.modules import definition, operator_of
from tests.failing import fails_for_good
from tests.serialization import serialized
from tests.test_parameters import parameters_of

STRING = {"type": "string"}
PAY = definition(
    inputs={
        "to": STRING,
        "amount": {"type": "bigint"},
        "fee": {"type": "number"},
        "side": {**STRING, "enum": ["BUY", "SELL"]},
        "tags": {"type": "array", "items": STRING},
        "memo": {"type": "object", "properties": {"text": STRING}, "required": ["text"]},
    },
    optional=("fee", "side", "tags", "memo"),
    config={"chain": STRING},
)
GOOD: dict[str, Any] = {"to": "0x1", "amount": "10"}
CONFIG = {"chain": "mainnet"}
NAME = secret(variable="pay")


@pytest.fixture(scope="module")
def pay(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the generated operator of the component PAY."""
    return operator_of(tmp_path_factory.mktemp("typed"), PAY)


@pytest.fixture
def wr(whiterabbit_emulator: Emulator) -> Emulator:
    """Return an emulator with the component PAY."""
    whiterabbit_emulator.add_component({**PAY, "type": "DEMO"})
    whiterabbit_emulator.script("PAY", output={"paid": 1})
    return whiterabbit_emulator


def test_submission(airflow: FakeAirflow, wr: Emulator, pay: Any) -> None:
    """A generated operator executes its component, with the other parameters of the component operator."""
    assert airflow.run(pay(task_id="pay", input=GOOD, config=CONFIG, inline_wait=5, attempts=2)) == {"paid": 1}
    (entry,) = wr.requests(kind="submit")
    assert entry.json == {"module": "PAY", "input": GOOD, "config": CONFIG, "attempts": 2, "waitForMs": 5000}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"amount": 1}, "input.to: required"),
        ({**GOOD, "amont": 1}, "input.amont: no such field; the fields are to, amount, fee, side, tags, memo"),
        ({**GOOD, "to": 5}, "input.to: expected string, got int"),
        ({**GOOD, "fee": "1"}, "input.fee: expected number, got str"),
        ({**GOOD, "fee": NAME}, "input.fee: expected number, got SecretText"),
        ({**GOOD, "side": "HOLD"}, "input.side: 'HOLD' is not one of BUY, SELL"),
        ({**GOOD, "tags": "a"}, "input.tags: expected array, got str"),
        ({**GOOD, "tags": ["a", 1]}, "input.tags[1]: expected string, got int"),
        ({**GOOD, "memo": {"txt": "a"}}, "input.memo.text: required; input.memo.txt: no such field"),
        ({**GOOD, "amount": 2**60}, "loses digits"),
        (None, "input.to: required; input.amount: required"),
    ],
)
def test_literals(pay: Any, given: Any, message: str) -> None:
    """A wrong literal is refused when the DAG is parsed, with its place and the class."""
    with pytest.raises(exc.WhiteRabbitInputError) as caught:
        pay(task_id="pay", input=given, config=CONFIG)
    assert message.replace("SecretText", "str") in str(caught.value)
    assert "loses" in message or "as PayOperator was generated" in str(caught.value)


def test_config(pay: Any) -> None:
    """The config is checked as the input is."""
    for config, message in (({"chain": 1}, "config.chain: expected"), (None, "config.chain: required")):
        with pytest.raises(exc.WhiteRabbitInputError, match=message):
            pay(task_id="pay", input=GOOD, config=config)


class Lazy:
    """An object whose fields Airflow renders."""

    template_fields = ("text",)
    text = "{{ ds }}"


def test_what_is_not_known_yet(pay: Any) -> None:
    """A template, another task's output and the name of a secret may stand for a value, and for parts of one."""
    with DAG("lazy", schedule=None):
        other = pay(task_id="other", input=GOOD, config=CONFIG)
        for number, given in enumerate(
            (
                {
                    "to": "{{ ds }}",
                    "amount": "{{ params.n }}",
                    "fee": "{{ params.n }}",
                    "side": "{% if x %}BUY{% endif %}",
                },
                {"to": other.output, "amount": other.output, "fee": other.output, "tags": other.output},
                {"to": NAME, "amount": NAME, "side": NAME, "tags": ["a", NAME, "{{ ds }}", other.output]},
                {**GOOD, "memo": Lazy(), "tags": lambda context, jinja_env: ["a"]},
                "pay.json",
                "{{ params.whole }}",
                other.output,
            )
        ):
            pay(task_id=f"pay_{number}", input=given, config=CONFIG)


def test_before_the_submission(airflow: FakeAirflow, wr: Emulator, pay: Any) -> None:
    """What templates gave is checked before the submission."""
    wrong = {"to": "0x1", "amount": "{{ params.amount }}"}
    task = pay(task_id="pay", input=wrong, config=CONFIG)
    task.input = {**wrong, "amount": "ten"}  # as Airflow renders it
    with fails_for_good(exc.WhiteRabbitInputError, "input.amount: expected bigint, got str"):
        airflow.run(task)
    assert not wr.requests(kind="submit")


def test_json_file(airflow: FakeAirflow, wr: Emulator, pay: Any, tmp_path: Path) -> None:
    """The object in a JSON file is checked before the submission."""
    for content, is_right in ((GOOD, True), ({"to": 1}, False)):
        (tmp_path / "pay.json").write_text(json.dumps(content))
        with DAG("files", schedule=None, template_searchpath=str(tmp_path)):
            task = pay(task_id="pay", input="pay.json", config=CONFIG, inline_wait=5)
        task.resolve_template_files()
        if is_right:
            assert airflow.run(task) == {"paid": 1}
        else:
            with fails_for_good(exc.WhiteRabbitInputError, "input.to: expected string, got int"):
                airflow.run(task)


def test_mapped(pay: Any) -> None:
    """A mapped task keeps the class and the parameters, and a wrong literal in it is no error of the DAG's file."""
    with DAG("mapped", schedule=None) as dag:
        pay.partial(task_id="pay", config=CONFIG, retries=1).expand(input=[GOOD, {"to": 1}])
    task = serialized(dag).task_dict["pay"]
    assert task.task_type == "PayOperator"
    assert task.retries == 1
    unmapped = dag.task_dict["pay"].unmap({"input": {"to": 1}, "config": CONFIG})
    assert (type(unmapped), unmapped.module, unmapped.input) == (pay, "PAY", {"to": 1})


def test_serialized(pay: Any) -> None:
    """A serialized task has the class and all template fields, and no definition of the component."""
    with DAG("serialized", schedule=None, default_args={"retries": 3, "deferrable": True}) as dag:
        task = pay(task_id="pay", input={**GOOD, "to": "{{ ds }}"}, config=CONFIG)
    assert (task.retries, task.deferrable) == (3, True)
    found = serialized(dag).task_dict["pay"]
    assert found.task_type == "PayOperator"
    assert found.template_fields == list(WhiteRabbitExecuteComponentOperator.template_fields)
    assert found.input == {"to": "{{ ds }}", "amount": "10"}
    assert not hasattr(found, "_component")


def test_subclass(airflow: FakeAirflow, wr: Emulator, pay: Any) -> None:
    """A user's subclass of a generated class keeps the component and its checks."""

    class PayMain(pay):  # type: ignore[misc]
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(config=CONFIG, **kwargs)
            self.component = self.definition = self.schema = "the user's own"

    assert airflow.run(PayMain(task_id="pay", input=GOOD, inline_wait=5)) == {"paid": 1}
    with pytest.raises(exc.WhiteRabbitInputError, match="as PayMain was generated"):
        PayMain(task_id="pay", input={})


def test_no_validation_of_names_of_secrets(
    airflow: FakeAirflow, wr: Emulator, monkeypatch: pytest.MonkeyPatch, pay: Any
) -> None:
    """With ``validate`` too, the name of a secret may stand for a text, one of some texts, and a large integer."""
    monkeypatch.setenv("AIRFLOW_VAR_PAY", "7")
    monkeypatch.setenv("AIRFLOW_VAR_SIDE", "BUY")
    side = secret(variable="side")
    given = {"to": NAME, "amount": NAME, "side": side}
    task = pay(task_id="pay", input=given, config=CONFIG, inline_wait=5, validate=True, allowed_secrets=[NAME, side])
    assert airflow.run(task) == {"paid": 1}
    assert wr.requests(kind="submit")[0].json["input"] == {"to": "7", "amount": "7", "side": "BUY"}


def test_parameters() -> None:
    """The types of generated modules know each parameter of the component operator."""
    known = set(component_types.ComponentParameters.__annotations__) - set(OperatorParameters.__annotations__)
    assert known == parameters_of(WhiteRabbitExecuteComponentOperator).keys() - {"module", "input", "config", "kwargs"}


def test_types_of_outputs(tmp_path: Path) -> None:
    """Annotations with the type of an output can be evaluated, as `@task` does."""
    path = tmp_path / "hints"
    path.mkdir()
    output = operator_of(path, definition(outputs={"paid": {"type": "bigint"}}), name="PayOutput")
    assert get_type_hints(output) == {"paid": int | str}
