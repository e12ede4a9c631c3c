"""Demonstrations on a real Airflow against an emulated White Rabbit: ``python -m dev.scripts.demo``."""
