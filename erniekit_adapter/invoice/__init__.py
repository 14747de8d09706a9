"""The domain: canonical answer, money, dates, rules, prompts and the tolerant parsing of answers."""
