"""Scripts that the Makefile runs: the demo, the trial of the real service, the check of a build."""
