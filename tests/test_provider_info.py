"""The provider's metadata is valid for Airflow, and the modules that it names exist."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections import defaultdict
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager
from airflow.triggers.base import BaseTrigger

import airflow_provider_whiterabbit as package
from airflow_provider_whiterabbit.compat import BaseHook, BaseOperator, BaseSensorOperator
from airflow_provider_whiterabbit.get_provider_info import CONN_FIELDS, get_provider_info
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator


@pytest.mark.parametrize("name", ["provider_info.schema.json", "provider.yaml.schema.json"])
def test_schema(name: str) -> None:
    """The metadata validates against the schema of the installed Airflow."""
    path = Path(airflow.__file__).parent / name
    if path.exists():  # the second one is not part of every version
        schema = json.loads(path.read_text())
        info = get_provider_info()
        if name == "provider.yaml.schema.json":
            # Members that only Airflow's own providers have; each version of Airflow knows some of them.
            others: dict[str, Any] = {"state": "ready", "lifecycle": "production", "source-date-epoch": 0}
            others |= {"dependencies": []}
            info |= {key: value for key, value in others.items() if key in schema["properties"]}
            if "cli" not in schema["properties"]:  # before Airflow 3.2, which ignores the commands of providers
                del info["cli"]
        jsonschema.validate(info, schema)


def test_entry_point() -> None:
    """The installed distribution has an entry point by which Airflow finds the provider."""
    provider_entries = entry_points(group="apache_airflow_provider")
    assert get_provider_info in [
        entry.load() for entry in provider_entries if entry.dist and "whiterabbit" in entry.dist.name
    ]


KINDS: dict[str, type[Any]] = {
    "sensors": BaseSensorOperator,  # first, because a sensor is an operator too
    "operators": BaseOperator,
    "hooks": BaseHook,
    "triggers": BaseTrigger,
}
"""The base class of each kind of module that the metadata lists."""


WITH_EXTRAS = ("client.transport.http2", "emulator", "observing.facets", "receiver")


def own_classes() -> list[type[Any]]:
    """Return the public classes of the package, without those that only its other classes are based on."""
    classes = set()
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        # These have none of these kinds, and need packages that are not installed everywhere.
        if not module.name.startswith(tuple(f"{package.__name__}.{name}" for name in WITH_EXTRAS)):
            members = vars(importlib.import_module(module.name)).items()
            classes |= {value for name, value in members if inspect.isclass(value) and not name.startswith("_")}
    own = {value for value in classes if value.__module__.startswith(f"{package.__name__}.")}
    bases = {base for value in own for base in value.__mro__[1:]}
    bases -= {WhiteRabbitExecuteComponentOperator}  # which users name too
    return sorted(own - bases, key=lambda value: value.__qualname__)


def test_modules() -> None:
    """The metadata lists exactly the modules of hooks, operators, sensors and triggers that users can name."""
    modules = defaultdict(set)
    for value in own_classes():
        kind = next((kind for kind, base in KINDS.items() if issubclass(value, base)), None)
        if kind:
            modules[kind].add(value.__module__)
    info = get_provider_info()
    assert {kind: set(info[kind][0]["python-modules"]) for kind in KINDS} == modules


def test_names() -> None:
    """Every class and function that the metadata names exists, and so does every integration."""
    info = get_provider_info()
    (connection_type,) = info["connection-types"]
    decorators = [decorator["class-name"] for decorator in info["task-decorators"]]
    for path in (connection_type["hook-class-name"], *info["extra-links"], *info["cli"], *decorators):
        module, _, name = path.rpartition(".")
        assert callable(getattr(importlib.import_module(module), name))
    integrations = {integration["integration-name"] for integration in info["integrations"]}
    assert {entry["integration-name"] for kind in KINDS for entry in info[kind]} == integrations


def test_airflow_shows_the_provider(capsys: pytest.CaptureFixture[str]) -> None:
    """`airflow providers get --full` prints all of the metadata, and without `--full` the installed version."""
    from airflow.cli.cli_parser import get_parser

    info = get_provider_info()
    name = info["package-name"]

    def shown(*more: str) -> dict[str, Any]:
        options = get_parser().parse_args(["providers", "get", name, *more, "--output", "json"])
        options.func(options)
        (entry,) = json.loads(capsys.readouterr().out)
        return dict(entry)

    full = shown("--full")
    full.pop("documentation-url", None)  # of the distribution's metadata (Airflow 3.2)
    assert full.keys() == info.keys()
    assert full["description"] == info["description"].rstrip(".")
    changed = ("description", "connection-types")  # Airflow shows a default that is False as a text
    assert [key for key in info if key not in changed and full[key] != info[key]] == []
    assert full["connection-types"][0]["conn-fields"].keys() == CONN_FIELDS.keys()
    assert shown() == {"Provider": name, "Version": version(name)}
    assert info["versions"] == [version(name)]


@pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")  # its successor is new in Airflow 3.2
def test_providers_manager() -> None:
    """Airflow finds the connection type and its hook, and the link."""
    hook = ProvidersManager().hooks["whiterabbit"]
    assert hook is not None
    assert hook.hook_class_name == f"{WhiteRabbitHook.__module__}.{WhiteRabbitHook.__qualname__}"
    assert hook.connection_id_attribute_name == "whiterabbit_conn_id"
    assert set(get_provider_info()["extra-links"]) <= set(ProvidersManager().extra_links_class_names)


def test_secret_fields_have_names_that_airflow_redacts() -> None:
    """Each secret field has a name that Airflow's API redacts, and the format that makes the form mask it."""
    from airflow_provider_whiterabbit.compat import redact

    secrets = [name for name, field in CONN_FIELDS.items() if field["schema"].get("format") == "password"]
    assert set(secrets) == {"api_key", "callback_secret"}
    assert redact(dict.fromkeys(secrets, "sesame")) == dict.fromkeys(secrets, "***")
