"""The provider's metadata for Airflow. Every Airflow process loads this module, so the module imports nothing heavy."""

from __future__ import annotations

from typing import Any

from airflow_provider_whiterabbit import __version__

CONNECTION_TYPE = "whiterabbit"

CONN_FIELDS: dict[str, dict[str, Any]] = {
    "api_key": {
        "label": "API key",
        "description": "The workspace API key (ws_…).",
        "schema": {"type": ["string", "null"], "format": "password"},
    },
    "request_timeout": {
        "label": "Request timeout (s)",
        "description": "Seconds to wait for a connection, and for each answer. The default is 30.",
        "schema": {"type": ["number", "null"]},
    },
    "ca_bundle": {
        "label": "CA bundle",
        "description": "File or folder of CA certificates to verify White Rabbit (or your proxy) with.",
        "schema": {"type": ["string", "null"]},
    },
    "client_cert": {
        "label": "Client certificate",
        "description": "File with a certificate (PEM), if White Rabbit's host asks clients for one.",
        "schema": {"type": ["string", "null"]},
    },
    "client_key": {
        "label": "Client key file",
        "description": "File with the private key of the client certificate (PEM, without a password).",
        "schema": {"type": ["string", "null"]},
    },
    "requests_per_second": {
        "label": "Requests per second",
        "description": "How many requests each Airflow process sends per second, 1 to 10000. The default is 250.",
        "schema": {"type": ["integer", "null"]},
    },
    "requests_at_once": {
        "label": "Requests at once",
        "description": "How many reads of records wait for an answer in each triggerer, 1 to 1000. The default is 32.",
        "schema": {"type": ["integer", "null"]},
    },
    "request_attempts": {
        "label": "Attempts",
        "description": "How often a failed call that is safe to repeat is attempted, 1 to 100. The default is 5.",
        "schema": {"type": ["integer", "null"]},
    },
    "stream_silence": {
        "label": "Silence of a stream (s)",
        "description": "Seconds without a byte after which a stream is opened again, 20 to 3600. The default is 45.",
        "schema": {"type": ["number", "null"]},
    },
    "http2": {
        "label": "HTTP/2",
        "description": "Let triggers use HTTP/2, if the server offers it and the extra 'http2' is installed.",
        "schema": {"type": ["boolean", "null"], "default": True},
    },
    "allow_http": {
        "label": "Allow plain HTTP",
        "description": "Allow http:// to another machine. Anyone on the network path can then read the API key.",
        "schema": {"type": ["boolean", "null"], "default": False},
    },
    "callback_secret": {
        "label": "Callback secret",
        "description": (
            "HMAC-SHA256 key that White Rabbit signs callbacks with, at least 16 characters. While you change it, a "
            'JSON list: ["<new secret>", "<old secret>"]. The first signs; the receiver accepts all.'
        ),
        "schema": {"type": ["string", "null"], "format": "password"},
    },
    "callback_headers": {
        "label": "Callback headers",
        "description": 'Extra headers of callbacks, as a JSON object: {"X-Team": "payments"}. Not masked in forms.',
        "schema": {"type": ["string", "null"]},
    },
    "empty_body_signature": {
        "label": "Signature without body",
        "description": "How to sign a request without a body: 'object' signs {}, as documented; 'omitted' signs none.",
        "schema": {"type": ["string", "null"], "enum": ["object", "omitted"], "default": "object"},
    },
    "execution_url": {
        "label": "Execution URL",
        "description": "URL of an execution in the dashboard, with {execution_id} in it, for links of tasks.",
        "schema": {"type": ["string", "null"]},
    },
    "workflow_run_url": {
        "label": "Workflow run URL",
        "description": "URL of a workflow run in the dashboard, with {workflow_run_id} in it, for links of tasks.",
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
    "description": "How tasks wait, what they do in doubt, and how Airflow receives callbacks from White Rabbit.",
    "options": {
        "start_from_trigger": {
            "description": (
                "Start deferrable sensors in the triggerer, without a worker (Airflow 3.3.1 and newer). A sensor's "
                "argument of the same name overrides this option. A sensor that can't start in the triggerer, such as "
                "a mapped sensor, starts in a worker.\n"
            ),
            "version_added": "0.1.0",
            "type": "boolean",
            "example": None,
            "default": "False",
        },
        "end_from_trigger": {
            "description": (
                "End deferrable sensors and operators in the triggerer, without a worker (Airflow 3.3.1 and newer). "
                "A task's argument of the same name overrides this option. A task with a feature that the triggerer "
                "does not support (a success callback, outlets, mapped tasks that depend on it, listeners, ...) ends "
                "in a worker.\n"
            ),
            "version_added": "0.1.0",
            "type": "boolean",
            "example": None,
            "default": "False",
        },
        "dashboard_links": {
            "description": (
                "Show the button White Rabbit in the details of tasks. Set this option if connections have the fields "
                "execution_url or workflow_run_url. Without these fields, Airflow shows a heading without a button.\n"
            ),
            "version_added": "0.1.0",
            "type": "boolean",
            "example": None,
            "default": "False",
        },
        "on_doubt": {
            "description": (
                "What an operator does if it is in doubt about an earlier submission of its task: fail (a person "
                "settles the doubt), ask (a person is asked in Airflow's UI; Airflow 3.3 and newer) or resubmit "
                "(everything may happen twice). An operator's argument of the same name overrides this option.\n"
            ),
            "version_added": "0.1.0",
            "type": "string",
            "example": "ask",
            "default": "fail",
        },
        "callback_connections": {
            "description": (
                "Ids of the connections whose callbacks Airflow's API server receives under "
                "/whiterabbit/callbacks/<id>, separated by commas (Airflow 3.1 and newer). Each connection needs a "
                "callback_secret. If this option is empty, the API server receives no callbacks.\n"
            ),
            "version_added": "0.1.0",
            "type": "string",
            "example": "whiterabbit_default",
            "default": "",
        },
        "callback_base_url": {
            "description": (
                "URL at which White Rabbit reaches Airflow's API server. With callback=True, a task submits this URL, "
                "followed by /whiterabbit/callbacks/<id>. Use https:// (http:// works only on this machine).\n"
            ),
            "version_added": "0.1.0",
            "type": "string",
            "example": "https://airflow.example.org",
            "default": "",
        },
        "callback_tolerance": {
            "description": "Seconds by which the time of a callback's signature may differ from the server's clock.\n",
            "version_added": "0.1.0",
            "type": "float",
            "example": None,
            "default": "300",
        },
        "callback_raw_signatures": {
            "description": (
                "Accept callbacks with an older form of signature too, which signs the body without a time. Anyone "
                "who has seen such a callback can send it again. Airflow recognises it as a repeat until its asset "
                "event is deleted from Airflow's database (airflow db clean).\n"
            ),
            "version_added": "0.1.0",
            "type": "boolean",
            "example": None,
            "default": "False",
        },
        "callback_raw_max_age": {
            "description": (
                "Seconds after the updatedAt of an execution's record for which callback_raw_signatures accepts its "
                "callback. Keep it shorter than the age at which airflow db clean deletes asset events.\n"
            ),
            "version_added": "0.1.0",
            "type": "float",
            "example": None,
            "default": "604800",
        },
        "callback_max_bytes": {
            "description": "Bytes of the largest callback body to accept: the execution's record with its output.\n",
            "version_added": "0.1.0",
            "type": "integer",
            "example": None,
            "default": "10485760",
        },
        "callback_body_timeout": {
            "description": "Seconds that the body of a callback may take to arrive.\n",
            "version_added": "0.1.0",
            "type": "float",
            "example": None,
            "default": "15",
        },
        "callback_output_bytes": {
            "description": (
                "Bytes of the largest output (or error), as JSON, to copy into the asset event. Everyone who may see "
                "the asset can read the output there. 0 copies no outputs.\n"
            ),
            "version_added": "0.1.0",
            "type": "integer",
            "example": None,
            "default": "0",
        },
    },
}


def get_provider_info() -> dict[str, Any]:
    """Return this provider's metadata for Airflow (checked against Airflow's ``provider_info.schema.json``).

    The plugin is not named here: it has an entry point of its own, with which it is loaded even if Airflow loads
    providers lazily, and Airflow would call the second one a duplicate. There are no ``how-to-guide`` and no ``logo``,
    because both are paths within Airflow's own documentation.
    """
    name = "White Rabbit"
    package = "airflow_provider_whiterabbit"

    def modules(kind: str, *names: str) -> dict[str, Any]:
        return {"integration-name": name, "python-modules": [f"{package}.{kind}.{module}" for module in names]}

    return {
        "package-name": "airflow-provider-whiterabbit",
        "versions": [__version__],  # Airflow reads the version from the installed package; registries read this one
        "name": name,
        "description": "Submit White Rabbit executions once, wait on their event stream, and get their output.",
        "integrations": [
            {"integration-name": name, "external-doc-url": "https://whiterabbit.app", "tags": ["service"]},
        ],
        "hooks": [modules("hooks", "whiterabbit")],
        "operators": [modules("operators", "callbacks", "component", "components", "typed", "workflow")],
        "sensors": [modules("sensors", "execution", "executions", "workflow")],
        "triggers": [modules("triggers", "execution", "executions", "workflow")],
        "task-decorators": [{"name": "whiterabbit", "class-name": f"{package}.decorators.component.whiterabbit_task"}],
        "extra-links": [f"{package}.links.WhiteRabbitLink"],
        "config": {"whiterabbit": CONFIG},
        "cli": [f"{package}.cli.get_commands"],
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
