"""The command as a module: ``python -m airflow_provider_whiterabbit.doubts``."""

from airflow_provider_whiterabbit.doubts.command import main

if __name__ == "__main__":
    main()
