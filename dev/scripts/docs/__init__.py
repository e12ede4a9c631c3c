"""An extension for building the documentation site."""
