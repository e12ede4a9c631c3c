"""Proofs of what the README promises: faults, kills, a bad day."""
