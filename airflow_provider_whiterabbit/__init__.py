"""The Apache Airflow provider for White Rabbit."""

__version__ = "0.1.0"
