"""What Airflow's provider manager reads. It imports nothing, since every Airflow process loads it."""

from __future__ import annotations

from typing import Any

CONNECTION_TYPE = "whiterabbit"

CONN_FIELDS: dict[str, dict[str, Any]] = {
    "api_key": {
        "label": "API key",
        "description": "The workspace API key (ws_…).",
        "schema": {"type": ["string", "null"], "format": "password"},
    },
    "request_timeout": {
        "label": "Request timeout (s)",
        "description": "Seconds to wait for a connection and for each answer; 30 if empty.",
        "schema": {"type": ["number", "null"]},
    },
    "ca_bundle": {
        "label": "CA bundle",
        "description": "File or folder of CA certificates to verify White Rabbit (or your proxy) against.",
        "schema": {"type": ["string", "null"]},
    },
    "allow_http": {
        "label": "Allow plain HTTP",
        "description": "Permit http:// to another machine. It shows the API key to anyone on the way.",
        "schema": {"type": ["boolean", "null"], "default": False},
    },
    "callback_secret": {
        "label": "Callback secret",
        "description": "HMAC-SHA256 key that callbacks of executions submitted with a callback URL are signed with.",
        "schema": {"type": ["string", "null"], "format": "password"},
    },
    "callback_headers": {
        "label": "Callback headers",
        "description": 'Extra headers for those callbacks, a JSON object: {"X-Team": "payments"}. Shown in clear.',
        "schema": {"type": ["string", "null"]},
    },
    "empty_body_signature": {
        "label": "Signature without body",
        "description": "What a request without a body signs: 'object' signs {}, as documented; 'omitted' signs none.",
        "schema": {"type": ["string", "null"], "enum": ["object", "omitted"], "default": "object"},
    },
}

UI_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["login", "schema"],
    "relabeling": {"host": "Base URL", "password": "API secret"},
    "placeholders": {
        "host": "https://api.whiterabbit.app",
        "password": "Ed25519 private key: base64 of PKCS#8 DER, or PEM",
    },
}


CONFIG: dict[str, Any] = {
    "description": "How tasks that wait for White Rabbit use the triggerer.",
    "options": {
        "start_from_trigger": {
            "description": (
                "Let deferrable sensors start in the triggerer, without a worker (Airflow 3.3.1 and newer). A sensor's "
                "own argument of this name goes before it; a sensor that can't, such as a mapped one, uses a worker.\n"
            ),
            "version_added": "0.1.0",
            "type": "boolean",
            "example": None,
            "default": "False",
        },
        "end_from_trigger": {
            "description": (
                "Let deferrable sensors and operators end in the triggerer, without a worker (Airflow 3.3.1+). "
                "A task's own argument of this name goes before it; a task that would lose something by it (a success "
                "callback, outlets, mapped tasks that depend on it, listeners, ...) uses a worker.\n"
            ),
            "version_added": "0.1.0",
            "type": "boolean",
            "example": None,
            "default": "False",
        },
    },
}


def get_provider_info() -> dict[str, Any]:
    """Return this provider's metadata (checked against Airflow's ``provider_info.schema.json``)."""
    name = "White Rabbit"
    package = "airflow_provider_whiterabbit"

    def modules(kind: str, *names: str) -> dict[str, Any]:
        return {"integration-name": name, "python-modules": [f"{package}.{kind}.{module}" for module in names]}

    return {
        "package-name": "airflow-provider-whiterabbit",
        "name": name,
        "description": "Submit White Rabbit executions once, wait for them on their event stream, get their output.",
        "integrations": [
            {"integration-name": name, "external-doc-url": "https://whiterabbit.app", "tags": ["service"]},
        ],
        "hooks": [modules("hooks", "whiterabbit")],
        "operators": [modules("operators", "component", "workflow")],
        "sensors": [modules("sensors", "execution", "workflow")],
        "triggers": [modules("triggers", "execution", "workflow")],
        "config": {"whiterabbit": CONFIG},
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": f"{package}.hooks.whiterabbit.WhiteRabbitHook",
                "hook-name": name,
                "conn-fields": CONN_FIELDS,
                "ui-field-behaviour": UI_FIELD_BEHAVIOUR,
            }
        ],
    }
