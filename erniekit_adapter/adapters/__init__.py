"""Tensor layouts, the PEFT form, the check of a merge, and the bundle that export writes."""
