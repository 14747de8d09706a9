"""`python -m data_tools`."""

from data_tools.cli import main

# Worker processes import this module again.
if __name__ == "__main__":
    main()
