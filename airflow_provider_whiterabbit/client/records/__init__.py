"""The API's data about executions and workflow runs, as frozen dataclasses."""
