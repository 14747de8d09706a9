"""Parity check: comparison of the logits of two readers."""
