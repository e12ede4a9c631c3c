"""The state of the emulator: executions, workflow runs, scripts, settings, the component catalogue and the journal."""
