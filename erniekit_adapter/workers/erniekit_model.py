"""A model, its tokenizer and its prompts in ERNIEKit's environment (erniekit 1.0.1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

BEGIN_PIECE = "<|begin_of_sentence|>"
_DTYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
_ADAPTER_INDEX = "peft_model.safetensors.index.json"
# Kernels that CPUs lack, or that need another kind of mask than generation uses here.
_FUSED = ("use_flash_attention", "use_sparse_flash_attn", "fuse_rms_norm", "fuse_swiglu", "fuse_rope", "fuse_linear")


def load_tokenizer(folder: Path) -> Any:
    """Load the model's tokenizer.

    Raises:
        SystemExit: it lacks the piece with which ERNIEKit begins each training sequence.
    """
    from ernie.tokenizer import Ernie4_5_Tokenizer

    tokenizer = Ernie4_5_Tokenizer.from_pretrained(str(folder))
    if tokenizer.sp_model.id_to_piece(tokenizer.sp_model.piece_to_id(BEGIN_PIECE)) != BEGIN_PIECE:
        raise SystemExit(f"{folder}: the tokenizer has no piece {BEGIN_PIECE}, with which training sequences begin")
    return tokenizer


def load_model(folder: Path, adapter: Path | None, device: str) -> Any:
    """Load a base model with a native LoRA adapter, if given, for inference: float32 on CPU, bfloat16 on GPU.

    Raises:
        SystemExit: a tensor of the files does not belong to the model, or the files lack one of the model's.
    """
    import paddle
    from ernie.configuration import Ernie4_5_MoeConfig
    from ernie.modeling_moe import Ernie4_5_MoeForCausalLM

    paddle.set_device(device)
    dtype = "float32" if device == "cpu" else "bfloat16"
    config = Ernie4_5_MoeConfig.from_pretrained(str(folder), dtype=dtype)
    config.moe_group = "dummy"
    config.tensor_parallel_degree = 1
    if getattr(config, "scale_qk_coeff", None) is None:
        # Attention without flash kernels divides by it and multiplies again; published configurations lack it.
        config.scale_qk_coeff = 1.0
    for key in _FUSED:
        setattr(config, key, False)
    model = Ernie4_5_MoeForCausalLM.from_pretrained(str(folder), config=config, dtype=dtype)
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    check_tensors(folder, set(model.state_dict()), set(stored_types(folder, "model")), tied)
    if adapter is not None:
        _add_adapter(model, adapter, dtype)
    model.eval()
    return model


def _add_adapter(model: Any, adapter: Path, dtype: str) -> None:
    """Put the adapter's layers into `model` itself; the wrapper is not needed."""
    from paddleformers.peft import LoRAConfig, LoRAModel

    if not (adapter / _ADAPTER_INDEX).is_file():
        # Without it the toolkit searches for a pickle, and without that it continues with a random adapter.
        raise SystemExit(f"{adapter}: lacks {_ADAPTER_INDEX}; train with unified_checkpoint: true")
    stored = stored_types(adapter, "peft_model")
    if len(set(stored.values())) != 1 or not set(stored.values()) <= set(_DTYPES):
        raise SystemExit(f"{adapter}: all its tensors must have the same type, float32, bfloat16 or float16")
    config = LoRAConfig.from_pretrained(str(adapter))
    config.dtype = _DTYPES[next(iter(stored.values()))]  # the only type into which the toolkit loads
    wrapped = LoRAModel.from_pretrained(model, str(adapter), lora_config=config)
    check_tensors(adapter, set(wrapped.get_trainable_state_dict()), set(stored), set())
    wrapped.to(dtype=dtype)
    wrapped.eval()


def check_tensors(folder: Path, expected: set[str], stored: set[str], optional: set[str]) -> None:
    """Stop at missing and unmatched tensors: the toolkits only log tensors that they dropped or initialised.

    Raises:
        SystemExit: with the first names of each kind.
    """
    missing, unused = sorted(expected - stored - optional), sorted(stored - expected)
    if missing or unused:
        raise SystemExit(f"{folder}: tensors missing: {_first(missing)}; unmatched tensors: {_first(unused)}")


def _first(names: list[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "none") + more


def stored_types(folder: Path, stem: str) -> dict[str, str]:
    """Return the type of each tensor in a folder's files, as safetensors names it, by tensor name."""
    from safetensors import safe_open

    index = folder / f"{stem}.safetensors.index.json"
    files = {f"{stem}.safetensors"}
    if index.is_file():
        files = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    types: dict[str, str] = {}
    for name in files:
        with safe_open(str(folder / name), framework="np") as tensors:
            types |= {tensor: tensors.get_slice(tensor).get_dtype() for tensor in tensors.keys()}  # noqa: SIM118
    return types


def prompt_token_ids(tokenizer: Any, request: str, system: str | None) -> list[int]:
    """Return the token ids of a prompt: the same that precede the answer to this request in training.

    Raises:
        SystemExit: the toolkit's reader of training examples makes other token ids.
    """
    messages = [] if system is None else [{"role": "system", "content": system}]
    messages.append({"role": "user", "content": request.strip()})  # like the toolkit's reader
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    ids = _with_begin(tokenizer, tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text)))
    example = [*messages, {"role": "assistant", "content": "."}]
    trained = _with_begin(tokenizer, tokenizer.encode_chat_inputs({"messages": example})[0][0])
    if ids != trained:
        raise SystemExit(
            f"the prompt's tokens differ from those of training: {len(ids)} and {len(trained)} tokens; "
            "the chat template must render the same prompt with and without an answer after it"
        )
    return ids


def _with_begin(tokenizer: Any, ids: list[int]) -> list[int]:
    begin = tokenizer.sp_model.piece_to_id(BEGIN_PIECE)
    return list(ids) if ids[:1] == [begin] else [begin, *ids]
