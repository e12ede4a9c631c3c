"""HTTP/2 (RFC 9113) for the asynchronous client: many event streams, and reads of records, on one TLS connection."""
