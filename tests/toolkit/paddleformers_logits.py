"""Run inside PaddleFormers' environment: prompts' token ids and logits, read the way its users read a model.

Usage: paddleformers_logits.py MODEL_DIR REQUESTS.jsonl LOGITS.npz. The arrays are those of the answering workers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddleformers.transformers import AutoModelForCausalLM, AutoTokenizer


def prompt_ids(tokenizer: Any, request: dict[str, str]) -> list[int]:
    messages = [{"role": "system", "content": request["system"]}] if "system" in request else []
    messages.append({"role": "user", "content": request["request"].strip()})
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def main() -> None:
    folder, requests, logits = sys.argv[1:]
    paddle.set_device("cpu")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    model.eval()
    arrays = {}
    for request in map(json.loads, Path(requests).read_text(encoding="utf-8").splitlines()):
        ids = prompt_ids(tokenizer, request)
        with paddle.no_grad():
            arrays[request["id"]] = model(input_ids=paddle.to_tensor([ids])).logits[0].numpy()
        arrays[f"{request['id']}:prompt_ids"] = np.array(ids)
    np.savez(logits, **arrays)


main()
