"""Right answers: names of fields, flat and nested fields, amounts, and the canonical answer made from them."""
