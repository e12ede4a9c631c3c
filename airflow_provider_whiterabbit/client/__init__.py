"""The White Rabbit protocol. Nothing in here imports Airflow; only `sync` and `aio` do I/O."""
