"""State of the emulator: executions, workflow runs, scripts, settings, component catalogue and received requests."""
