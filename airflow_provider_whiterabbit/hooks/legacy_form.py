"""The web form for a connection in Airflow before 3.2, built from the provider metadata that newer versions read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def form_widgets(conn_fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return a WTForms field for each extra field of a White Rabbit connection.

    :param conn_fields: the provider's ``conn-fields``: ``label``, ``description`` and a JSON ``schema`` by field name.
    """
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import BooleanField, PasswordField, StringField

    class SecretWidget(BS3PasswordFieldWidget):  # type: ignore[misc]  # no type information
        """A password field that shows a placeholder instead of a saved secret.

        The form must not send an empty field back, because Airflow would then delete the secret.
        """

        def __call__(self, field: Any, **attributes: Any) -> Any:
            # Airflow draws these fields in version 2 only, and only that version has the placeholder.
            from airflow.www.views import SENSITIVE_FIELD_PLACEHOLDER  # type: ignore[import-not-found]

            return super().__call__(field, value=SENSITIVE_FIELD_PLACEHOLDER if field.data else "", **attributes)

    form_fields: dict[str, Any] = {}
    for name, field in conn_fields.items():
        label, description, schema = lazy_gettext(field["label"]), field["description"], field["schema"]
        if schema.get("format") == "password":
            widget = SecretWidget(hide_value=False)  # safe: the value that it shows is a placeholder
            form_fields[name] = PasswordField(label, widget=widget, description=description)
        elif "boolean" in schema["type"]:
            form_fields[name] = BooleanField(label, default=schema["default"], description=description)
        else:
            form_fields[name] = StringField(label, widget=BS3TextFieldWidget(), description=description)
    return form_fields
