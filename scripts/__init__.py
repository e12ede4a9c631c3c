"""Commands of the Makefile that need Python."""
