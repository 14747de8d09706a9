"""Scripts that run in a toolkit's environment, started by `start.py` with the interpreter of that environment."""
