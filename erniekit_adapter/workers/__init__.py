"""Scripts that run inside a toolkit's environment, started with that environment's python."""
