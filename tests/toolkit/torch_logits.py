"""Write logits of models with and without adapters, or a tiny random mixture of experts. For transformers.

Usage: torch_logits.py experts MODEL_DIR
       torch_logits.py logits CASES.json OUT.npz

CASES.json is {name: [MODEL_DIR, ADAPTER_DIR or null]}. The output has PEFT's warnings about keys,
or its error, by name.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from expert_sizes import SIZES
from transformers import AutoModelForCausalLM, Ernie4_5_MoeConfig, Ernie4_5_MoeForCausalLM

TOKENS = 40


def experts(folder: str) -> None:
    torch.manual_seed(0)
    model = Ernie4_5_MoeForCausalLM(Ernie4_5_MoeConfig(**SIZES))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0, 1.5 / weight.shape[-1] ** 0.5)
            elif name.endswith("norm.weight"):
                weight.normal_(1, 0.3)
    model.save_pretrained(folder)


def load(folder: str, adapter: str | None) -> tuple[torch.nn.Module, str]:
    model, report = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    if problems := {kind: sorted(names) for kind, names in report.items() if names}:
        raise SystemExit(f"{folder}: unmatched or missing tensors: {problems}")
    if adapter is None:
        return model, ""
    from peft import PeftModel

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = PeftModel.from_pretrained(model, adapter)
    return model, "".join(str(warning.message) for warning in caught if "keys" in str(warning.message))


def logits(cases: str, output: str) -> None:
    ids = torch.from_numpy(np.random.default_rng(1).integers(1, SIZES["vocab_size"], (1, TOKENS)))
    arrays, messages = {}, {}
    for name, (folder, adapter) in json.loads(Path(cases).read_text()).items():
        try:
            model, messages[name] = load(folder, adapter)
        except (ValueError, RuntimeError, KeyError) as error:
            messages[name] = f"{type(error).__name__}: {error}"
            continue
        with torch.no_grad():
            arrays[name] = model.eval()(input_ids=ids).logits[0].numpy()
    np.savez(output, **arrays)
    print(json.dumps(messages))


if __name__ == "__main__":
    {"experts": experts, "logits": logits}[sys.argv[1]](*sys.argv[2:])
