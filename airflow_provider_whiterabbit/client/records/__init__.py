"""What the API tells about executions and workflow runs, as frozen values."""
