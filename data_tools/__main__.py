"""`python -m data_tools`: the commands of `erniekit-adapter data`."""

# Worker processes import this module again, and need none of the commands.
if __name__ == "__main__":
    from erniekit_adapter.cli import data_main

    data_main()
