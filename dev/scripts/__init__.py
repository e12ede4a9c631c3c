"""What the Makefile runs besides tests and proofs."""
