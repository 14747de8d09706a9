"""Sizes of the tiny base."""

from erniekit_adapter.layouts.dense import DenseShape

SHAPE = DenseShape(layers=4, hidden=192, heads=3, kv_heads=1, head_dim=64, ffn=432, vocab=3072, tied=True)
