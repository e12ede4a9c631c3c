"""How the end of an execution or workflow run at White Rabbit ends an Airflow task."""
