"""`python -m erniekit_adapter`."""

from erniekit_adapter.cli import main

main()
