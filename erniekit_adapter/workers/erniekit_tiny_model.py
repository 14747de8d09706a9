"""A tiny ERNIE 4.5 with random weights in ERNIEKit's layout, for tests and trials on a CPU.

The weights are written without the toolkit, whose import takes longer than all the rest. `erniekit_model.load_model`
checks all tensors whenever it loads the folder.
"""

from __future__ import annotations

import argparse
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from erniekit_adapter.layouts.dense import DenseShape, base_shapes
from erniekit_adapter.workers.exchange import atomic

BOS_ID, EOS_ID, UNK_ID = 1, 2, 0
MAX_TOKENS = 4096
MAX_PIECE_CHARACTERS = 160
MAX_PARAGRAPH_BYTES = 100_000
# A tied head multiplies by the embedding again: with the linear layers' 0.04 no token could become likely.
EMBEDDING_DEVIATION = 0.15
PIECES = (
    *("<pad>", "<mask:0>", "<mask:1>", "<mask:7>", "<cls>", "<sep>", "<|begin_of_sentence|>", "<|end_of_sentence|>"),
    *("<|IMAGE_PLACEHOLDER|>", "<|IMAGE_START|>", "<|IMAGE_END|>", "\n"),
)
# As published: begin piece, system text, "User: …", "Assistant: …" with the end piece.
CHAT_TEMPLATE = """\
{{- cls_token -}}
{%- for message in messages -%}
    {%- if message["role"] == "user" -%}
        {{- "User: " + message["content"] + "\\n" -}}
    {%- elif message["role"] == "assistant" -%}
        {{- "Assistant: " + message["content"] + sep_token -}}
    {%- elif message["role"] == "system" -%}
        {{- message["content"] + "\\n" -}}
    {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt is not defined or add_generation_prompt -%}
    {{- "Assistant: " -}}
{%- endif -%}
"""

# Options of the tokenizers of all tiny ERNIE models; tiny_base uses them too.
TOKENIZER_OPTIONS: dict[str, Any] = {
    "model_type": "bpe",
    "byte_fallback": True,
    "split_digits": True,
    "add_dummy_prefix": False,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
    "user_defined_symbols": list(PIECES),
    "unk_id": UNK_ID,
    "bos_id": BOS_ID,
    "eos_id": EOS_ID,
    "pad_id": -1,
    "num_threads": 1,
    "minloglevel": 2,
}


def train_tokenizer(corpus: Path, vocab_size: int) -> bytes:
    """Train a sentencepiece BPE tokenizer and return its model file.

    Raises:
        SystemExit: the corpus is too small for the vocabulary, or has too many characters for it.
    """
    import sentencepiece

    # From an iterator into memory: otherwise the model would contain the paths and differ between folders.
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(corpus.read_text(encoding="utf-8").splitlines()),
            model_writer=model,
            vocab_size=vocab_size,
            **TOKENIZER_OPTIONS,
            # Whole phrases become pieces, so requests and answers are short.
            split_by_whitespace=False,
            split_by_unicode_script=False,
            split_by_number=False,
            max_sentencepiece_length=MAX_PIECE_CHARACTERS,
            max_sentence_length=MAX_PARAGRAPH_BYTES,
        )
    except RuntimeError as error:
        raise SystemExit(f"{corpus}: cannot train a tokenizer of {vocab_size} tokens: {error}") from error
    return model.getvalue()


def random_weights(shape: DenseShape, seed: int) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Return weights in ERNIEKit's layout: norms of ones, linear layers normal with the toolkit's deviation."""
    numbers = np.random.default_rng(seed)
    weights = {}
    for name, size in base_shapes(shape).items():
        linear = math.sqrt(0.3333 / shape.hidden)
        deviation = EMBEDDING_DEVIATION if name.endswith("embed_tokens.weight") else linear
        drawn = numbers.normal(0.0, deviation, size) if len(size) > 1 else np.ones(size)
        weights[name] = np.ascontiguousarray(drawn, dtype=np.float32)
    return weights


def model_config(shape: DenseShape, pad_id: int) -> dict[str, Any]:
    """Return config.json for ERNIEKit, with explicit values for keys whose defaults differ in Hugging Face."""
    return {
        "architectures": ["Ernie4_5_ForCausalLM"],
        "bos_token_id": BOS_ID,
        "compression_ratio": 1.0,
        "dtype": "float32",
        "eos_token_id": EOS_ID,
        "head_dim": shape.head_dim,
        "hidden_act": "silu",
        "hidden_size": shape.hidden,
        "intermediate_size": shape.ffn,
        "max_position_embeddings": MAX_TOKENS,
        "model_type": "ernie4_5",
        "moe_num_experts": 0,
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "num_key_value_heads": shape.kv_heads,
        "pad_token_id": pad_id,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
        "scale_qk_coeff": 1.0,
        "tie_word_embeddings": shape.tied,
        "use_bias": False,
        "use_rmsnorm": True,
        "vocab_size": shape.vocab,
    }


def tokenizer_config() -> dict[str, Any]:
    """Return tokenizer_config.json for ERNIEKit, with the chat template."""
    return {
        "add_bos_token": False,
        "add_eos_token": False,
        "bos_token": "<s>",
        "chat_template": CHAT_TEMPLATE,
        "cls_token": "<|begin_of_sentence|>",
        "eos_token": "</s>",
        "mask_token": "<mask:1>",
        "pad_token": "<pad>",
        "sep_token": "<|end_of_sentence|>",
        "tokenizer_class": "Ernie4_5_Tokenizer",
        "unk_token": "<unk>",
    }


def write_model(folder: Path, tokenizer: bytes, shape: DenseShape, seed: int) -> None:
    """Write the model folder atomically; an existing folder is replaced."""
    from safetensors.numpy import save

    with atomic(folder) as partial:
        partial.mkdir()
        (partial / "model.safetensors").write_bytes(save(random_weights(shape, seed), metadata={"format": "np"}))
        (partial / "tokenizer.model").write_bytes(tokenizer)
        pad_id = _piece_id(tokenizer, "<pad>")
        _write_json(partial / "config.json", model_config(shape, pad_id))
        _write_json(partial / "tokenizer_config.json", tokenizer_config())
        ends = {"bos_token_id": BOS_ID, "do_sample": False, "eos_token_id": EOS_ID, "pad_token_id": pad_id}
        _write_json(partial / "generation_config.json", ends)


def _piece_id(tokenizer: bytes, piece: str) -> int:
    import sentencepiece

    return int(sentencepiece.SentencePieceProcessor(model_proto=tokenizer).piece_to_id(piece))


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Write a tiny ERNIE 4.5 with random weights in ERNIEKit's layout.")
    parser.add_argument("--corpus", type=Path, required=True, help="text file for training the tokenizer")
    parser.add_argument("--output", type=Path, required=True, help="model folder to write")
    sizes = {"vocab-size": 2048, "hidden": 192, "layers": 4, "heads": 6, "kv-heads": 2, "head-dim": 32, "ffn": 512}
    for name, size in {"seed": 0, **sizes}.items():
        parser.add_argument(f"--{name}", type=int, default=size, help=f"default {size}")
    parser.add_argument("--untied", action="store_true", help="do not share the weights of embedding and output head")
    options = parser.parse_args()
    shape = DenseShape(
        layers=options.layers,
        hidden=options.hidden,
        heads=options.heads,
        kv_heads=options.kv_heads,
        head_dim=options.head_dim,
        ffn=options.ffn,
        vocab=options.vocab_size,
        tied=not options.untied,
    )
    write_model(options.output, train_tokenizer(options.corpus, options.vocab_size), shape, options.seed)


if __name__ == "__main__":
    main()
