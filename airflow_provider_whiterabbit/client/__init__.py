"""The protocol of White Rabbit. Nothing in here imports Airflow, and only `transport` does I/O."""
