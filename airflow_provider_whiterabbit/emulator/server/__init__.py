"""The HTTP side of the emulator: authentication, White Rabbit's endpoints, faults and the control endpoints."""
