"""Run 200 waits on a real Airflow with two triggerers, let its parts fail one after the other, and check every task."""
