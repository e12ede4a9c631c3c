"""What the emulator runs on: sockets, threads, certificates, streams."""
