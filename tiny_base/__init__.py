"""A tiny ERNIE 4.5 that is pretrained on invoices but not on the answer format; sources and weights."""
