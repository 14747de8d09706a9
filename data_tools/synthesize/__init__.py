"""Invoices made up from a seed: content, text layout, page image, ground truth."""
