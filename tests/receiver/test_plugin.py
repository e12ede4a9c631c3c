"""The Airflow plugin of the receiver: off by default, and without cost when it is off."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from airflow_provider_whiterabbit.get_provider_info import CONFIG
from airflow_provider_whiterabbit.receiver.plugin import WhiteRabbitPlugin
from airflow_provider_whiterabbit.receiver.settings import ReceiverSettings
from tests.versions import HAS_RECEIVER, needs_receiver

OPTION = "AIRFLOW__WHITERABBIT__CALLBACK_{}"


def test_entry_point() -> None:
    """The distribution has an entry point by which Airflow finds the plugin."""
    (plugin_entry,) = [entry for entry in entry_points(group="airflow.plugins") if entry.name == "whiterabbit"]
    assert plugin_entry.load() is WhiteRabbitPlugin


def test_airflow_loads_it_once() -> None:
    """Airflow loads the plugin exactly once, whether it discovers providers lazily or at once."""
    code = """
from airflow.plugins_manager import get_plugin_info
plugins = get_plugin_info()
assert [plugin["name"] for plugin in plugins].count("whiterabbit") == 1, plugins
"""
    for lazy in ("True", "False"):
        environ = os.environ | {"AIRFLOW__CORE__LAZY_DISCOVER_PROVIDERS": lazy}
        subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, env=environ)


def test_off() -> None:
    """If the receiver is off, the plugin serves nothing and imports nothing outside the package."""
    code = """
import sys
import airflow.plugins_manager
from airflow_provider_whiterabbit.compat import AirflowPlugin, conf
before = set(sys.modules)
from airflow_provider_whiterabbit.receiver.plugin import WhiteRabbitPlugin
assert WhiteRabbitPlugin().fastapi_apps == []
new = {name for name in set(sys.modules) - before if not name.startswith("airflow_provider_whiterabbit")}
assert not new, new
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


@needs_receiver
def test_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """If `callback_connections` is set, the plugin serves one application under /whiterabbit."""
    monkeypatch.setenv(OPTION.format("CONNECTIONS"), "a, b,,")
    (app,) = WhiteRabbitPlugin().fastapi_apps
    assert app["url_prefix"] == "/whiterabbit"
    assert [route.path for route in app["app"].routes] == ["/health", "/callbacks/{connection_id:path}"]


@pytest.mark.skipif(HAS_RECEIVER, reason="this Airflow can serve the receiver")
def test_too_old(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Before Airflow 3.1, the plugin serves nothing and logs why, even if `callback_connections` is set."""
    monkeypatch.setenv(OPTION.format("CONNECTIONS"), "a")
    assert WhiteRabbitPlugin().fastapi_apps == []
    assert "3.1" in caplog.text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOLERANCE", "soon"),
        ("TOLERANCE", "0"),
        ("TOLERANCE", "nan"),
        ("TOLERANCE", "inf"),
        ("MAX_BYTES", "10M"),
        ("MAX_BYTES", "-1"),
        ("BODY_TIMEOUT", "0"),
        ("RAW_SIGNATURES", "perhaps"),
        ("RAW_MAX_AGE", "0"),
        ("RAW_MAX_AGE", "inf"),
        ("OUTPUT_BYTES", "-1"),
    ],
)
def test_options_that_are_not_valid(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, value: str
) -> None:
    """If an option is not valid, the plugin logs the name of the option, serves nothing and raises nothing."""
    monkeypatch.setenv(OPTION.format("CONNECTIONS"), "a")
    monkeypatch.setenv(OPTION.format(name), value)
    assert WhiteRabbitPlugin().fastapi_apps == []
    assert f"callback_{name.lower()}" in caplog.text


@pytest.mark.parametrize("value", ['["a"]', "a;b", "a b", "a\nb", "a,'b'", "{a}", "a,b=c"])
def test_connections_in_another_form(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str
) -> None:
    """If the ids are not separated by commas, the plugin serves nothing and says how to write them."""
    monkeypatch.setenv(OPTION.format("CONNECTIONS"), value)
    assert WhiteRabbitPlugin().fastapi_apps == []
    assert "callback_connections must be ids of connections, separated by commas" in caplog.text


@pytest.mark.parametrize("value", ["a/b, c.d-e_f ,,", "übung", "a:b#!()"])
def test_connections_of_all_kinds(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Every id that Airflow accepts can be served."""
    monkeypatch.setenv(OPTION.format("CONNECTIONS"), value)
    expected = {connection_id.strip() for connection_id in value.split(",") if connection_id.strip()}
    assert ReceiverSettings.from_configuration().connections == expected


def test_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ReceiverSettings.from_configuration` reads each option with its type."""
    values = {
        "connections": "a,b",
        "tolerance": "1.5",
        "max_bytes": "2048",
        "body_timeout": "0.5",
        "raw_signatures": "True",
        "output_bytes": "7",
        "raw_max_age": "60",
    }
    for name, value in values.items():
        monkeypatch.setenv(OPTION.format(name.upper()), value)
    assert ReceiverSettings.from_configuration() == ReceiverSettings(frozenset("ab"), 1.5, 2048, 0.5, True, 7, 60.0)


def test_metadata_says_the_same() -> None:
    """The defaults in the provider's metadata are those of `ReceiverSettings`."""
    described = {name.removeprefix("callback_"): option["default"] for name, option in CONFIG["options"].items()}
    for name, default in vars_of(ReceiverSettings()).items():
        assert float(described[name]) == default if name != "raw_signatures" else described[name] == str(default)


def vars_of(settings: ReceiverSettings) -> dict[str, float]:
    """Return the settings by name, without `connections`."""
    return {name: getattr(settings, name) for name in settings.__slots__ if name != "connections"}
