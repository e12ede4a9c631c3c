"""Tools for the developers of this repository: the test harness, the proofs, and the scripts that the Makefile runs."""
