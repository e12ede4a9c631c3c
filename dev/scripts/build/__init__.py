"""Check a release: the source distribution is complete, and the wheel works with nothing but Airflow installed."""
