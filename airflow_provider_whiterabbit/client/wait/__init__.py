"""Decides how to follow an execution or a workflow run until it has ended; this package does no I/O."""
