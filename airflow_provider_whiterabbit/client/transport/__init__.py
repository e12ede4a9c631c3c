"""The two HTTP clients of White Rabbit's API: one is blocking (requests), one is asynchronous (aiohttp)."""
