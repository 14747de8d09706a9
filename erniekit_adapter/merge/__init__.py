"""Merge of an adapter into its base model."""
