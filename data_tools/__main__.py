"""`python -m data_tools`."""

from data_tools.cli import main

main()
