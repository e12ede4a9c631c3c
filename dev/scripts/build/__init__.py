"""What a release has to be: a source distribution that lacks nothing, and a wheel that works beside Airflow alone."""
