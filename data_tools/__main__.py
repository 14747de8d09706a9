"""`python -m data_tools`."""

# Worker processes import this module again, and need none of the verbs.
if __name__ == "__main__":
    from data_tools.cli import main

    main()
