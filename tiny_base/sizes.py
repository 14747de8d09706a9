"""The tiny base's sizes."""

from erniekit_adapter.adapters.layouts import ModelShape

SHAPE = ModelShape(layers=4, hidden=192, heads=6, kv_heads=2, head_dim=32, ffn=512, vocab=2048, tied=True)
