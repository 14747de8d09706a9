"""Sizes of a tiny mixture of experts, for tests and for scripts in torch. This module imports nothing."""

from __future__ import annotations

# One layer without experts, two with. All widths differ, so that tests notice a wrong position.
SIZES: dict[str, object] = {
    "vocab_size": 96,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "moe_num_experts": 5,
    "moe_k": 2,
    "moe_intermediate_size": 24,
    "moe_num_shared_experts": 2,
    "moe_layer_start_index": 1,
    "moe_layer_end_index": 2,
    "moe_layer_interval": 1,
    "max_position_embeddings": 128,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "tie_word_embeddings": True,
    "use_bias": False,
    "pad_token_id": 0,
}
