"""One reader per kind of input, each giving document records."""
