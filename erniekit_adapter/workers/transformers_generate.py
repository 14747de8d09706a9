"""Greedy answers with Hugging Face transformers: `PYTHON …/workers/start.py transformers_generate --help`.

Requests and answers are those of `erniekit_generate`; a request with `prompt_ids` is answered from these tokens.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from erniekit_adapter.workers.constraint import AnswerConstraint, Constraints, fast_tokenizer
from erniekit_adapter.workers.exchange import Generated, Logits, ModelFunctions, WorkerRequest, answer, read_options


def load_model(folder: Path, adapter: Path | None, device: str) -> Any:
    """Load a model with a PEFT adapter, if given: float32 on CPU, bfloat16 on GPU.

    Raises:
        SystemExit: a tensor of the files does not belong to the model, or the files lack one of the model's.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    has_images = hasattr(AutoConfig.from_pretrained(folder), "vision_config")
    model_class: Any = AutoModelForImageTextToText if has_images else AutoModelForCausalLM
    model, report = model_class.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    if problems := {kind: sorted(names) for kind, names in report.items() if names}:
        raise SystemExit(f"{folder}: tensors do not match the model: {problems}")
    if adapter is not None:
        model = _with_adapter(model, adapter)
    return model.eval().to("cuda" if device == "gpu" else "cpu")


def _with_adapter(model: Any, adapter: Path) -> Any:
    from peft import PeftModel
    from safetensors import safe_open

    try:
        model = PeftModel.from_pretrained(model, str(adapter))
    except (KeyError, RuntimeError, ValueError) as error:  # sizes or settings that do not fit the model
        raise SystemExit(f"{adapter}: {error}") from error
    with safe_open(str(adapter / "adapter_model.safetensors"), framework="np") as tensors:
        stored = set(tensors.keys())
    expected = {name.replace(".default.", ".") for name in model.state_dict() if ".lora_" in name}
    if stored != expected:  # PEFT only prints a warning
        raise SystemExit(f"{adapter}: missing {sorted(expected - stored)}; unmatched {sorted(stored - expected)}")
    return model


class TorchGenerator:
    """A loaded model that continues batches of prompts, padded on the left."""

    def __init__(self, model: Any, end_id: int, pad_id: int) -> None:
        self.model, self.end_id, self.pad_id = model, end_id, pad_id

    def generate(
        self, prompts: list[list[int]], limit: int, constraints: list[AnswerConstraint | None] | None = None
    ) -> list[Generated]:
        """Continue each prompt with the likeliest tokens until it ends or has `limit` new tokens.

        A constraint limits the tokens of the prompt at its place.
        """
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        constraints = constraints or [None] * len(prompts)
        # The configuration in the model's folder may set sampling or penalties.
        settings = GenerationConfig(
            do_sample=False, max_new_tokens=limit, eos_token_id=self.end_id, pad_token_id=self.pad_id
        )
        width = max(map(len, prompts))
        ids = torch.tensor([[self.pad_id] * (width - len(prompt)) + prompt for prompt in prompts])
        mask = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        device = self.model.device
        with torch.no_grad():
            rows = self.model.generate(
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                generation_config=settings,
                logits_processor=LogitsProcessorList([lambda ids, scores: constrained(scores, constraints)]),
            )
        answers = [self._cut(row) for row in rows[:, width:].tolist()]
        return [
            answer if constraint is None else replace(answer, finished=constraint.finished)
            for answer, constraint in zip(answers, constraints, strict=True)
        ]

    def _cut(self, ids: list[int]) -> Generated:
        if self.end_id in ids:
            return Generated(ids[: ids.index(self.end_id)], finished=True)
        return Generated(ids, finished=False)

    def logits(self, prompts: list[list[int]]) -> list[Logits]:
        """Return the logits of each prompt, float32 (tokens, vocabulary)."""
        import torch

        with torch.no_grad():
            rows = [self.model(input_ids=torch.tensor([prompt], device=self.model.device)) for prompt in prompts]
        return [row.logits[0].float().cpu().numpy().astype(np.float32) for row in rows]


def constrained(scores: Any, constraints: list[AnswerConstraint | None]) -> Any:
    """Return scores in which each row's token is the one that its constraint chooses.

    Args:
        scores: logits of the next token, (rows, vocabulary).
        constraints: the constraint of each row, or None.
    """
    likeliest = scores.argmax(dim=-1).tolist()
    for row, constraint in enumerate(constraints):
        if constraint is not None:
            token = constraint.choose(likeliest[row], partial(_row_of, scores, row))
            if token != likeliest[row]:
                scores[row] = float("-inf")
                scores[row, token] = 0.0
    return scores


def _row_of(scores: Any, row: int) -> npt.NDArray[np.float32]:
    values: npt.NDArray[np.float32] = scores[row].float().cpu().numpy()
    return values


def prompt_token_ids(tokenizer: Any, request: WorkerRequest) -> list[int]:
    """Return the token ids of a request, or those that the chat template makes."""
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
    generator = TorchGenerator(model, tokenizer.eos_token_id, tokenizer.pad_token_id)
    constraints = Constraints(
        lambda: fast_tokenizer(tokenizer, tokenizer.eos_token_id, model.get_output_embeddings().weight.shape[0]),
        lambda text: list(tokenizer(text, add_special_tokens=False)["input_ids"]),
        tokenizer.eos_token_id,
    )
    answer(
        ModelFunctions(
            prompt_ids=lambda request: prompt_token_ids(tokenizer, request),
            generate=generator.generate,
            logits=generator.logits,
            decode=lambda ids: str(tokenizer.decode(ids, clean_up_tokenization_spaces=False)),
            max_tokens=model.config.max_position_embeddings,
            constraint=constraints.start,
        ),
        options,
    )


if __name__ == "__main__":
    main()
