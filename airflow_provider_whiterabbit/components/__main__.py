"""The commands as a module: ``python -m airflow_provider_whiterabbit.components``."""

from airflow_provider_whiterabbit.components.command import main

if __name__ == "__main__":
    main()
