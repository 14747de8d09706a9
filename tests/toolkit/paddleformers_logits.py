"""Write token ids and logits of prompts, with PaddleFormers' public classes. For PaddleFormers' environment.

Usage: paddleformers_logits.py MODEL_DIR REQUESTS.jsonl LOGITS.npz [ADAPTER_DIR]. The arrays have the format of the
workers' arrays. For a request with `prompt_ids`, these ids are used.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddleformers.peft import LoRAModel
from paddleformers.transformers import AutoModelForCausalLM, AutoTokenizer


@cache
def tokenizer(folder: str) -> Any:
    return AutoTokenizer.from_pretrained(folder)


def prompt_ids(pieces: Any, request: dict[str, Any]) -> list[int]:
    messages = [{"role": "system", "content": request["system"]}] if "system" in request else []
    messages.append({"role": "user", "content": request["request"].strip()})
    text = pieces.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return list(pieces(text, add_special_tokens=False)["input_ids"])


def main() -> None:
    folder, requests, logits, *adapter = sys.argv[1:]
    paddle.set_device("cpu")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    if adapter:
        model = LoRAModel.from_pretrained(model, adapter[0])
    model.eval()
    arrays = {}
    for request in map(json.loads, Path(requests).read_text(encoding="utf-8").splitlines()):
        ids = request.get("prompt_ids") or prompt_ids(tokenizer(folder), request)
        with paddle.no_grad():
            arrays[request["id"]] = model(input_ids=paddle.to_tensor([ids])).logits[0].numpy()
        arrays[f"{request['id']}:prompt_ids"] = np.array(ids)
    np.savez(logits, **arrays)


main()
