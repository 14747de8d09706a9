"""Synthetic invoices drawn from a seed: content, page layout, page image, ground truth."""
