"""A first document type, guessed from example answers."""
