"""The tiny base's sizes."""

from erniekit_adapter.adapters.layouts import ModelShape

SHAPE = ModelShape(layers=4, hidden=192, heads=3, kv_heads=1, head_dim=64, ffn=432, vocab=3072, tied=True)
