"""Run 300 executions on a cluster with Celery, let each of its parts fail, and check every task and submission."""
