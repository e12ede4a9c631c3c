"""Run a real Airflow and PostgreSQL, and stand in for Airflow, in tests, proofs, benchmarks and the demo."""
