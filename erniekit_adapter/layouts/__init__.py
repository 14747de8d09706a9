"""Tensor layouts: names and shapes of tensors in each toolkit and in Hugging Face PEFT."""
