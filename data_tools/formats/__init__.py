"""Write training examples as JSONL and read them back."""
