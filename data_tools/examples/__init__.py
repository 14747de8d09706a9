"""Make training examples from records: requests, answers, injected faults, preferences."""
