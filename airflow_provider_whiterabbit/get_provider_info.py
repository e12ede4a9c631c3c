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
    "execution_url": {
        "label": "Execution URL",
        "description": "Address of an execution in the dashboard, with {execution_id} in it: tasks then link to it.",
        "schema": {"type": ["string", "null"]},
    },
    "workflow_run_url": {
        "label": "Workflow run URL",
        "description": "The same for workflow runs, with {workflow_run_id} in it.",
        "schema": {"type": ["string", "null"]},
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
    "description": "How tasks that wait for White Rabbit use the triggerer, and how its callbacks are received.",
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
        "callback_connections": {
            "description": (
                "Ids of the connections whose callbacks Airflow's API server takes under "
                "/whiterabbit/callbacks/<id>, separated by commas (Airflow 3.1 and newer). Each needs a "
                "callback_secret. If empty, nothing is served.\n"
            ),
            "version_added": "0.1.0",
            "type": "string",
            "example": "whiterabbit_default",
            "default": "",
        },
        "callback_base_url": {
            "description": (
                "Where White Rabbit reaches the API server: what callback=True puts in front of "
                "/whiterabbit/callbacks/<id>. It must be HTTPS, except to this machine.\n"
            ),
            "version_added": "0.1.0",
            "type": "string",
            "example": "https://airflow.example.org",
            "default": "",
        },
        "callback_tolerance": {
            "description": "Seconds that the time of a callback's signature may be away from this machine's clock.\n",
            "version_added": "0.1.0",
            "type": "float",
            "example": None,
            "default": "300",
        },
        "callback_raw_signatures": {
            "description": (
                "Take callbacks too that are signed in White Rabbit's older form, over the body without a time. "
                "Whoever has seen such a callback can send it again, and it counts anew once Airflow's database has "
                "been cleaned of its event.\n"
            ),
            "version_added": "0.1.0",
            "type": "boolean",
            "example": None,
            "default": "True",
        },
        "callback_max_bytes": {
            "description": "Size of the largest callback that is taken: the execution's record, output included.\n",
            "version_added": "0.1.0",
            "type": "integer",
            "example": None,
            "default": "10485760",
        },
        "callback_body_timeout": {
            "description": "Seconds within which a callback must have arrived.\n",
            "version_added": "0.1.0",
            "type": "float",
            "example": None,
            "default": "15",
        },
        "callback_output_bytes": {
            "description": (
                "Bytes of the largest output (or error), as JSON, that goes into the asset event, where everyone sees "
                "it who may see the asset. 0 keeps all outputs out.\n"
            ),
            "version_added": "0.1.0",
            "type": "integer",
            "example": None,
            "default": "0",
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
        "operators": [modules("operators", "callbacks", "component", "workflow")],
        "sensors": [modules("sensors", "execution", "workflow")],
        "triggers": [modules("triggers", "execution", "workflow")],
        "extra-links": [f"{package}.links.WhiteRabbitLink"],
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
