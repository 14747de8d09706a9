"""Pairs and preferences as lines of JSON, and what a toolkit would make of them."""
