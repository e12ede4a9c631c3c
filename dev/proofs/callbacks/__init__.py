"""End thousands of executions while everything between White Rabbit and Airflow fails; check that each has its runs."""
