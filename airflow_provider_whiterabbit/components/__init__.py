"""The commands that write a module of typed operators from White Rabbit's component catalogue; no DAG needs them."""
