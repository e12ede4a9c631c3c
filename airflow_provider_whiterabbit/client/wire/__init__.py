"""Bytes of the API: requests and answers, canonical JSON, event streams and signatures."""
