"""From documents to training lines."""
