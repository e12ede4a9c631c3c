"""The two clients that move bytes: blocking (requests) and asynchronous (aiohttp)."""
