"""The receiver of White Rabbit's callbacks in Airflow's API server. Nothing is imported here: see `plugin`."""
