"""Run waits and submissions against a server that breaks the rules of HTTP, event streams and JSON, one by one."""
