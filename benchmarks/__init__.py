"""Benchmarks that compare this provider with other ways to wait; all ways are measured side by side in one run."""
