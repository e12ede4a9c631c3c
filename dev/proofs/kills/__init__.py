"""Kill Airflow's processes at every point of a submission, and check that the component is submitted at most once."""
