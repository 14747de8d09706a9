"""Rules for LoRA adapters."""
