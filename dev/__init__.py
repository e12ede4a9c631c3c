"""For this repository's developers: the harness, the proofs and the scripts that the Makefile runs."""
