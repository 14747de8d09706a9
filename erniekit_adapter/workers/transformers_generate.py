"""Greedy answers with Hugging Face transformers: `python -m erniekit_adapter.workers.transformers_generate --help`.

The same files and lines as `erniekit_generate`; a request that carries `prompt_ids` is answered from exactly those
tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from erniekit_adapter.workers.exchange import Engine, Generated, Logits, Request, answer, read_options


def load_model(folder: Path, adapter: Path | None, device: str) -> Any:
    """Load a model, and a PEFT adapter onto it: float32 on the CPU, bfloat16 on a GPU.

    Raises:
        SystemExit: a tensor of the files has no place in the model, or one of the model's is in no file.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    model_class: Any = AutoModelForCausalLM
    if AutoConfig.from_pretrained(folder).model_type == "paddleocr_vl":
        from transformers import PaddleOCRVLForConditionalGeneration

        model_class = PaddleOCRVLForConditionalGeneration
    model, report = model_class.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    if problems := {kind: sorted(names) for kind, names in report.items() if names}:
        raise SystemExit(f"{folder}: not every tensor found its place: {problems}")
    if adapter is not None:
        model = _with_adapter(model, adapter)
    return model.eval().to("cuda" if device == "gpu" else "cpu")


def _with_adapter(model: Any, adapter: Path) -> Any:
    from peft import PeftModel
    from safetensors import safe_open

    try:
        model = PeftModel.from_pretrained(model, str(adapter))
    except (KeyError, RuntimeError, ValueError) as error:  # sizes or settings that do not go with the model
        raise SystemExit(f"{adapter}: {error}") from error
    with safe_open(str(adapter / "adapter_model.safetensors"), framework="np") as tensors:
        stored = set(tensors.keys())
    wanted = {name.replace(".default.", ".") for name in model.state_dict() if ".lora_" in name}
    if stored != wanted:  # PEFT only warns
        raise SystemExit(f"{adapter}: missing {sorted(wanted - stored)}; without a place {sorted(stored - wanted)}")
    return model


class Generator:
    """A loaded model that continues batches of prompts, padded on the left."""

    def __init__(self, model: Any, end_id: int, pad_id: int) -> None:
        self.model, self.end_id, self.pad_id = model, end_id, pad_id

    def generate(self, prompts: list[list[int]], limit: int) -> list[Generated]:
        """Continue each prompt by the likeliest tokens until it ends or has `limit` of them."""
        import torch
        from transformers import GenerationConfig

        # A fresh one: the folder's may ask for sampling or penalties.
        settings = GenerationConfig(
            do_sample=False, max_new_tokens=limit, eos_token_id=self.end_id, pad_token_id=self.pad_id
        )
        width = max(map(len, prompts))
        ids = torch.tensor([[self.pad_id] * (width - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        device = self.model.device
        with torch.no_grad():
            rows = self.model.generate(
                input_ids=ids.to(device), attention_mask=mask.to(device), generation_config=settings
            )
        return [self._cut(row) for row in rows[:, width:].tolist()]

    def _cut(self, ids: list[int]) -> Generated:
        if self.end_id in ids:
            return Generated(ids[: ids.index(self.end_id)], finished=True)
        return Generated(ids, finished=False)

    def logits(self, prompts: list[list[int]]) -> list[Logits]:
        """Each prompt's logits, float32 (tokens, vocabulary)."""
        import torch

        with torch.no_grad():
            rows = [self.model(input_ids=torch.tensor([prompt], device=self.model.device)) for prompt in prompts]
        return [row.logits[0].float().cpu().numpy().astype(np.float32) for row in rows]


def prompt_token_ids(tokenizer: Any, request: Request) -> list[int]:
    """The ids that a request carries, or those of the chat template."""
    if request.prompt_ids is not None:
        return request.prompt_ids
    messages = [] if request.system is None else [{"role": "system", "content": request.system}]
    messages.append({"role": "user", "content": request.request.strip()})
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def main() -> None:
    """Run the command line."""
    options = read_options("Greedy answers with a model in Hugging Face's layout.")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(options.model)
    model = load_model(options.model, options.adapter, options.device)
    generator = Generator(model, tokenizer.eos_token_id, tokenizer.pad_token_id)
    answer(
        Engine(
            prompt_ids=lambda request: prompt_token_ids(tokenizer, request),
            generate=generator.generate,
            logits=generator.logits,
            decode=lambda ids: str(tokenizer.decode(ids, clean_up_tokenization_spaces=False)),
            max_tokens=model.config.max_position_embeddings,
        ),
        options,
    )


if __name__ == "__main__":
    main()
