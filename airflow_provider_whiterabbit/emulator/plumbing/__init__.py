"""What the emulator runs on: sockets, the background thread, TLS certificates, event streams and JSON."""
