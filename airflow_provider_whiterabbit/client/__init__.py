"""A client of White Rabbit's API. Nothing in this package imports Airflow, and only its part `transport` does I/O."""
