"""Checks of the files beside a model's weights: configuration, tokenizer, chat template."""
