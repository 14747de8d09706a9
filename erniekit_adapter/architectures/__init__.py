"""Model families: sizes, linear layers and names."""
