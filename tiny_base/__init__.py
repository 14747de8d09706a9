"""A tiny ERNIE 4.5 that has read many invoices and knows no answer format: how it was made, and what it says."""
