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

    fields: dict[str, Any] = {}
    for name, field in conn_fields.items():
        label, schema = lazy_gettext(field["label"]), field["schema"]
        if schema.get("format") == "password":
            fields[name] = PasswordField(label, widget=BS3PasswordFieldWidget(), description=field["description"])
        elif "boolean" in schema["type"]:
            fields[name] = BooleanField(label, default=schema["default"], description=field["description"])
        else:
            fields[name] = StringField(label, widget=BS3TextFieldWidget(), description=field["description"])
    return fields
