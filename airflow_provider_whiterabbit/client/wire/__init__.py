"""The bytes that the API exchanges: HTTP requests and responses, canonical JSON, event streams and signatures."""
