"""Turn documents into training examples."""
