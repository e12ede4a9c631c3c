"""Following an execution or a workflow run until it has ended: decisions, no I/O."""
