"""The HTTP side of the emulator: endpoints, control endpoints, authentication."""
