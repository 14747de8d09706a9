"""`python -m erniekit_adapter`."""

# Worker processes import this module again, and need none of the commands.
if __name__ == "__main__":
    from erniekit_adapter.cli import main

    main()
