"""The command that lists and settles many doubts about earlier submissions at once: ``airflow whiterabbit doubts``."""
