"""Reports what the provider does: to the metrics system that Airflow's configuration names, and to OpenLineage."""
