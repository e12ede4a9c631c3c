"""The provider's metadata is valid for Airflow, and the modules that it names exist."""

from __future__ import annotations

import importlib
import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager

from airflow_provider_whiterabbit.get_provider_info import CONN_FIELDS, get_provider_info
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook


@pytest.mark.parametrize("name", ["provider_info.schema.json", "provider.yaml.schema.json"])
def test_schema(name: str) -> None:
    """The metadata validates against the schema of the installed Airflow."""
    path = Path(airflow.__file__).parent / name
    if path.exists():  # the second one is not part of every version
        schema = json.loads(path.read_text())
        info = get_provider_info()
        if name == "provider.yaml.schema.json":
            # Members that only Airflow's own providers have; each version of Airflow knows some of them.
            others: dict[str, Any] = {"versions": ["0.1.0"], "state": "ready", "lifecycle": "production"}
            others |= {"source-date-epoch": 0, "dependencies": []}
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


def test_modules_exist() -> None:
    """Every module that the metadata names can be imported."""
    info = get_provider_info()
    for kind in ("hooks", "operators", "sensors", "triggers"):
        for entry in info.get(kind, []):
            for module in entry["python-modules"]:
                importlib.import_module(module)


@pytest.mark.filterwarnings("ignore:ProvidersManager.hooks is deprecated")  # its successor is new in Airflow 3.2
def test_providers_manager() -> None:
    """Airflow finds the connection type and its hook."""
    hook = ProvidersManager().hooks["whiterabbit"]
    assert hook is not None
    assert hook.hook_class_name == f"{WhiteRabbitHook.__module__}.{WhiteRabbitHook.__qualname__}"
    assert hook.connection_id_attribute_name == "whiterabbit_conn_id"


def test_secret_fields_have_names_that_airflow_redacts() -> None:
    """Each secret field has a name that Airflow's API redacts, and the format that makes the form mask it."""
    from airflow_provider_whiterabbit.compat import redact

    secrets = [name for name, field in CONN_FIELDS.items() if field["schema"].get("format") == "password"]
    assert set(secrets) == {"api_key", "callback_secret"}
    assert redact(dict.fromkeys(secrets, "sesame")) == dict.fromkeys(secrets, "***")
