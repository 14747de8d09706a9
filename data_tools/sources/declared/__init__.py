"""Answers of declared document types, read from the names and spellings of sources."""
