"""A real Airflow, PostgreSQL and processes, for tests, proofs and the demo."""
