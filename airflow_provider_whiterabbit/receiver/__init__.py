"""The receiver of White Rabbit's callbacks in Airflow's API server; `plugin` is its entry point."""
