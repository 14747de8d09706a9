"""The invoice: its answer, rules, prompts and parsing."""
