"""The connection form of Airflow before 3.2, made of the same metadata that newer versions read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def widgets(conn_fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a WTForms field for each extra field.

    :param conn_fields: as in the provider's metadata: ``label``, ``description`` and a JSON ``schema`` by name.
    """
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import BooleanField, PasswordField, StringField

    class SecretWidget(BS3PasswordFieldWidget):  # type: ignore[misc]  # no type information
        """Shows that something is saved, and not what: Airflow deletes a field of the extra that comes back empty."""

        def __call__(self, field: Any, **attributes: Any) -> Any:
            # Only Airflow 2 draws these fields, by what only Airflow 2 has.
            from airflow.www.views import SENSITIVE_FIELD_PLACEHOLDER  # type: ignore[import-not-found]

            return super().__call__(field, value=SENSITIVE_FIELD_PLACEHOLDER if field.data else "", **attributes)

    fields: dict[str, Any] = {}
    for name, field in conn_fields.items():
        label, schema = lazy_gettext(field["label"]), field["schema"]
        if schema.get("format") == "password":
            widget = SecretWidget(hide_value=False)  # the value is never the secret, see there
            fields[name] = PasswordField(label, widget=widget, description=field["description"])
        elif "boolean" in schema["type"]:
            fields[name] = BooleanField(label, default=schema["default"], description=field["description"])
        else:
            fields[name] = StringField(label, widget=BS3TextFieldWidget(), description=field["description"])
    return fields
