"""The state of the emulator: executions, workflow runs, scripts and the journal."""
