"""ERNIEKit and Hugging Face compute the same logits from the same weights, with and without an adapter.

Largest differences in logits on CPU in float32, with logits up to 10: base model 2.2e-5, adapter 4.3e-5, a prompt with
and without a batch 1.2e-5, an adapter of PaddleFormers 3.1e-5, an adapter imported from PEFT 4.6e-5. Wrong layouts:
10.3 with gate and up swapped, 10 with PaddleFormers' qkv split as ERNIEKit's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pytest
from tiny_ernie import SIZES, build_loud, write_adapter_folder, write_native_adapter

from erniekit_adapter.layouts.adapter_files import write_from_peft, write_peft
from erniekit_adapter.layouts.base_files import read_config
from erniekit_adapter.layouts.dense import DenseShape
from erniekit_adapter.layouts.paddleformers import apart_linears, text_linears
from erniekit_adapter.merge.merging import write_hf_base
from erniekit_adapter.tensor_files import Array, read_tensors, write_tensors

pytestmark = pytest.mark.toolkit

WORKERS = "erniekit_adapter.workers"
TOLERANCE = 1e-4
NEW_TOKENS = 40
REQUESTS: list[dict[str, Any]] = [
    {"id": "short", "request": "Total?"},
    {"id": "system", "request": "Total?", "system": "You read invoices.\n  Answer in JSON. "},
    {"id": "spaces", "request": "  Vendor:  Acme Corp\n\n\tqty 7 \n"},
    {"id": "unicode", "request": "Müller GmbH, 12,50 € – naïve 发票 \U0001f9fe"},
    {"id": "digits", "request": "Analyze this invoice. Vendor: Globex qty 9 price 1234567.89 total 0.07"},
    {"id": "pieces", "request": "a <|end_of_sentence|> b </s> c <mask:1>"},
    {"id": "long", "request": "Vendor: Initech qty 3 price 20.00 total 60.00\n" * 6},
    {"id": "longer", "request": "Analyze this invoice. qty 1 price 99.99 " * 12, "system": "Be exact."},
]


@dataclass(frozen=True)
class ModelAnswers:
    by_id: dict[str, dict[str, Any]]
    logits: dict[str, npt.NDArray[np.float32]]
    progress: list[dict[str, int]]


@dataclass
class ModelFolders:
    """Folders of a tiny model in several layouts, and functions that get answers from them."""

    root: Path
    run: Callable[..., str]
    erniekit: Path
    transformers: Path

    def build(self, name: str, *sizes: object) -> None:
        options = ["--corpus", self.root / "corpus.txt", "--output", self.root / name, "--vocab-size", 400]
        self.run(self.erniekit, "-m", f"{WORKERS}.erniekit_tiny_model", *options, "--layers", 3, *sizes)

    def answer_with_erniekit(
        self, name: str, *, model: str = "model", adapter: str | None = None, batch: int = 4
    ) -> ModelAnswers:
        lines = [json.dumps(request) for request in REQUESTS]
        return self._answer(name, self.erniekit, "erniekit_generate", lines, model, adapter, batch)

    def answer_with_transformers(
        self, name: str, like: ModelAnswers, *, model: str = "hf", adapter: str | None = None
    ) -> ModelAnswers:
        """Generate answers with transformers, for the same prompt tokens as in ERNIEKit."""
        lines = [json.dumps(r | {"prompt_ids": like.by_id[r["id"]]["prompt_ids"]}) for r in REQUESTS]
        return self._answer(name, self.transformers, "transformers_generate", lines, model, adapter, 4)

    def _answer(
        self, name: str, python: Path, worker: str, lines: list[str], model: str, adapter: str | None, batch: int
    ) -> ModelAnswers:
        requests, answers, logits = (self.root / f"{name}.{end}" for end in ("requests.jsonl", "jsonl", "npz"))
        requests.write_text("\n".join(lines), encoding="utf-8")
        options: list[object] = ["--model", self.root / model, "--requests", requests, "--answers", answers]
        options += ["--max-new-tokens", NEW_TOKENS, "--batch-size", batch, "--logits", logits]
        options += ["--adapter", self.root / adapter] if adapter else []
        printed = self.run(python, "-m", f"{WORKERS}.{worker}", *options)
        found = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
        assert [answer["id"] for answer in found] == [request["id"] for request in REQUESTS]
        with np.load(logits) as arrays:
            return ModelAnswers(
                {answer["id"]: answer for answer in found},
                {request["id"]: arrays[request["id"]] for request in REQUESTS},
                [json.loads(line) for line in printed.splitlines()],
            )


@pytest.fixture(scope="session", params=list(SIZES))
def folders(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    run_python: Callable[..., str],
    erniekit_python: Path,
    transformers_python: Path,
) -> ModelFolders:
    root, grouped = tmp_path_factory.mktemp(request.param), request.param == "grouped-tied"
    folders = ModelFolders(root, run_python, erniekit_python, transformers_python)
    shape = build_loud(root / "model", request.param, run_python, erniekit_python, bfloat16=not grouped)
    write_native_adapter(root / "native", shape, "float32" if grouped else "bfloat16", rslora=not grouped)
    write_hf_base(root / "model", root / "hf")
    write_peft(root / "native", read_config(root / "model"), root / "peft", str(root / "hf"))
    return folders


@pytest.fixture(scope="session")
def base(folders: ModelFolders) -> ModelAnswers:
    return folders.answer_with_erniekit("base")


@pytest.fixture(scope="session")
def adapted(folders: ModelFolders) -> ModelAnswers:
    return folders.answer_with_erniekit("adapted", adapter="native")


@pytest.fixture(scope="session")
def hf_base(folders: ModelFolders, base: ModelAnswers) -> ModelAnswers:
    return folders.answer_with_transformers("hf-base", base)


def difference(left: ModelAnswers, right: ModelAnswers) -> float:
    return max(float(np.abs(left.logits[name] - right.logits[name]).max()) for name in left.logits)


def assert_same(left: ModelAnswers, right: ModelAnswers, finding: str) -> None:
    largest = difference(left, right)
    scale = max(float(np.abs(logits).max()) for logits in left.logits.values())
    print(f"{finding}: logits differ by {largest:.1e}, largest {scale:.0f}")
    assert largest < TOLERANCE
    for name, answer in left.by_id.items():
        for key in ("prompt_ids", "answer_ids", "finished"):
            assert answer[key] == right.by_id[name][key], (finding, name, key)
        if "\ufffd" not in answer["answer"]:  # the two tokenizers decode invalid UTF-8 differently
            assert answer["answer"] == right.by_id[name]["answer"]


def test_base_model_logits(base: ModelAnswers, hf_base: ModelAnswers) -> None:
    assert_same(base, hf_base, "base")
    assert base.progress == [{"done": 4, "total": 8}, {"done": 8, "total": 8}]


def test_adapter_logits(folders: ModelFolders, base: ModelAnswers, adapted: ModelAnswers) -> None:
    assert difference(base, adapted) > 1, "the adapter must change the answers"
    assert_same(adapted, folders.answer_with_transformers("hf-adapted", adapted, adapter="peft"), "adapter")


def test_answers_end_at_end_tokens_and_at_the_limit(base: ModelAnswers, adapted: ModelAnswers) -> None:
    answers = [*base.by_id.values(), *adapted.by_id.values()]
    assert {answer["finished"] for answer in answers} == {True, False}
    assert all(answer["answer_tokens"] == NEW_TOKENS for answer in answers if not answer["finished"])
    assert len({str(answer["answer_ids"]) for answer in answers}) > len(answers) / 2


def test_batch_does_not_change_an_answer(folders: ModelFolders, adapted: ModelAnswers) -> None:
    single = folders.answer_with_erniekit("single", adapter="native", batch=1)
    assert_same(single, adapted, "batched")


def test_prompts_are_those_of_the_training(folders: ModelFolders, base: ModelAnswers) -> None:
    script = Path(__file__).with_name("training_prompts.py")
    printed = folders.run(folders.erniekit, script, folders.root / "model", folders.root / "base.requests.jsonl")
    assert json.loads(printed) == {name: answer["prompt_ids"] for name, answer in base.by_id.items()}


def test_detects_swapped_gate_and_up(folders: ModelFolders, base: ModelAnswers) -> None:
    swapped = folders.root / "swapped"
    swapped.mkdir(exist_ok=True)
    for path in (folders.root / "hf").iterdir():
        (swapped / path.name).write_bytes(path.read_bytes())
    other = {"gate_proj": "up_proj", "up_proj": "gate_proj"}
    tensors = {
        ".".join(other.get(part, part) for part in name.split(".")): array
        for name, array in read_tensors(folders.root / "hf" / "model.safetensors").items()
    }
    write_tensors(swapped / "model.safetensors", tensors)
    largest = difference(base, folders.answer_with_transformers("swapped", base, model="swapped"))
    print(f"swapped: logits differ by {largest:.1f}")
    assert largest > 1


def test_tiny_model_is_deterministic(folders: ModelFolders) -> None:
    for name in ("one", "two"):
        folders.build(name)
    files = sorted(path.name for path in (folders.root / "one").iterdir())
    assert "tokenizer.model" in files
    for name in files:
        assert (folders.root / "one" / name).read_bytes() == (folders.root / "two" / name).read_bytes(), name


@pytest.fixture(scope="session")
def paddleformers_adapted(folders: ModelFolders, base: ModelAnswers, paddleformers_python: Path) -> ModelAnswers:
    """Return logits of PaddleFormers with an adapter in its layout, on the model in Hugging Face's."""
    write_paddleformers_adapter(folders)
    return answer_with_paddleformers(folders, paddleformers_python, base, "hf", "pf-native")


def write_paddleformers_adapter(folders: ModelFolders) -> None:
    shape = DenseShape.from_config(orjson.loads((folders.root / "hf" / "config.json").read_bytes()))
    numbers, tensors = np.random.default_rng(4), {}
    for stem, linear in text_linears(shape).items():
        width_in, width_out = linear.size
        tensors[f"{stem}.lora_A"] = numbers.normal(0, 0.1, (width_in, 4)).astype(np.float32)
        tensors[f"{stem}.lora_B"] = numbers.normal(0, 0.1, (4, width_out)).astype(np.float32)
    names = [rf"model\.layers\..*\.{module}" for module in ("qkv_proj", "o_proj", "up_gate_proj", "down_proj")]
    config = {"r": 4, "lora_alpha": 8, "rslora": False, "lora_dropout": 0.0, "target_modules": names}
    write_adapter_folder(folders.root / "pf-native", tensors, config | {"tensor_model_parallel_size": -1})


def answer_with_paddleformers(
    folders: ModelFolders, python: Path, like: ModelAnswers, model: str, *adapter: str
) -> ModelAnswers:
    """Compute logits with PaddleFormers, with or without an adapter, for the same prompt tokens."""
    requests, logits = folders.root / "pf.requests.jsonl", folders.root / "pf.npz"
    lines = [json.dumps(request | {"prompt_ids": like.by_id[request["id"]]["prompt_ids"]}) for request in REQUESTS]
    requests.write_text("\n".join(lines), encoding="utf-8")
    script = Path(__file__).with_name("paddleformers_logits.py")
    folders.run(python, script, folders.root / model, requests, logits, *(folders.root / name for name in adapter))
    with np.load(logits) as arrays:
        return ModelAnswers(like.by_id, {request["id"]: arrays[request["id"]] for request in REQUESTS}, [])


def peft_of(folders: ModelFolders, name: str, change: Callable[[str, Array], tuple[str, Array]]) -> str:
    """Convert PaddleFormers' adapter to PEFT, with a change of each tensor."""
    native = folders.root / "pf-native"
    tensors = read_tensors(native / "peft_model-00001-of-00001.safetensors")
    config = orjson.loads((native / "lora_config.json").read_bytes())
    changed = folders.root / f"{name}-native"
    write_adapter_folder(changed, dict(change(key, array) for key, array in tensors.items()), config)
    write_peft(changed, orjson.loads((folders.root / "hf" / "config.json").read_bytes()), folders.root / name, "base")
    return name


def test_paddleformers_adapter_logits(
    folders: ModelFolders, base: ModelAnswers, paddleformers_adapted: ModelAnswers
) -> None:
    assert difference(base, paddleformers_adapted) > 1, "the adapter must change the answers"
    peft = peft_of(folders, "pf-peft", lambda name, array: (name, array))
    found = folders.answer_with_transformers("pf-adapted", base, adapter=peft)
    largest = difference(paddleformers_adapted, found)
    print(f"PaddleFormers' adapter: logits differ by {largest:.1e}")
    assert largest < TOLERANCE


def test_detects_qkv_split_of_the_other_toolkit(
    folders: ModelFolders, base: ModelAnswers, paddleformers_adapted: ModelAnswers
) -> None:
    """Both splits have the same shapes. With as many key heads as query heads, they are equal."""
    peft = peft_of(folders, "pf-wrong-qkv", lambda name, array: (name.replace("model.", "ernie.", 1), array))
    largest = difference(paddleformers_adapted, folders.answer_with_transformers("pf-wrong-qkv", base, adapter=peft))
    print(f"qkv split as ERNIEKit's: logits differ by {largest:.1e}")
    grouped = orjson.loads((folders.root / "hf" / "config.json").read_bytes())["num_key_value_heads"] == 2
    assert largest > 1 if grouped else largest < TOLERANCE


def test_detects_swapped_gate_and_up_in_an_adapter(
    folders: ModelFolders, base: ModelAnswers, paddleformers_adapted: ModelAnswers
) -> None:
    def swap(name: str, array: Array) -> tuple[str, Array]:
        half = array.shape[1] // 2
        swapped = np.concatenate([array[:, half:], array[:, :half]], axis=1)
        return name, swapped if name.endswith("up_gate_proj.lora_B") else array

    peft = peft_of(folders, "pf-swapped", swap)
    largest = difference(paddleformers_adapted, folders.answer_with_transformers("pf-swapped", base, adapter=peft))
    print(f"gate and up swapped in the adapter: logits differ by {largest:.1f}")
    assert largest > 1


def test_peft_file_works_with_transformers_4_and_5(
    folders: ModelFolders, transformers_python: Path, transformers5_python: Path
) -> None:
    cases, hf = folders.root / "cases.json", str(folders.root / "hf")
    cases.write_bytes(orjson.dumps({"base": [hf, None], "adapted": [hf, str(folders.root / "peft")]}))
    script = Path(__file__).with_name("torch_logits.py")
    found = []
    for python in (transformers_python, transformers5_python):
        output = folders.root / "cases.npz"
        assert json.loads(folders.run(python, script, "logits", cases, output)) == {"base": "", "adapted": ""}
        with np.load(output) as arrays:
            found.append(dict(arrays))
    four, five = found
    assert np.abs(four["base"] - four["adapted"]).max() > 1
    largest = max(float(np.abs(four[case] - five[case]).max()) for case in four)
    print(f"transformers 4 and 5: logits differ by {largest:.1e}")
    assert largest < TOLERANCE


def test_imported_peft_adapter_in_erniekit(folders: ModelFolders, base: ModelAnswers) -> None:
    """Each projection has a different A, as PEFT trains them, so the rank in ERNIEKit is three times as large."""
    config = orjson.loads((folders.root / "model" / "config.json").read_bytes())
    numbers, tensors = np.random.default_rng(6), {}
    for linear in apart_linears(DenseShape.from_config(config)).values():
        (part,), (width_in, width_out) = linear.parts, linear.size
        tensors[f"base_model.model.{part}.lora_A.weight"] = numbers.normal(0, 0.1, (4, width_in)).astype(np.float32)
        tensors[f"base_model.model.{part}.lora_B.weight"] = numbers.normal(0, 0.1, (width_out, 4)).astype(np.float32)
    rslora = config["num_key_value_heads"] == config["num_attention_heads"]
    settings = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "use_rslora": rslora}
    targets = sorted({name.split(".")[-3] for name in tensors})
    peft = folders.root / "imported-peft"
    peft.mkdir()
    (peft / "adapter_config.json").write_bytes(orjson.dumps(settings | {"target_modules": targets}))
    write_tensors(peft / "adapter_model.safetensors", tensors)
    write_from_peft(peft, config, folders.root / "imported-native")
    imported = folders.answer_with_erniekit("imported-native", adapter="imported-native")
    assert difference(base, imported) > 1
    assert_same(
        imported, folders.answer_with_transformers("imported-peft", imported, adapter="imported-peft"), "imported"
    )


def test_rejects_an_adapter_with_an_unmatched_tensor(folders: ModelFolders) -> None:
    """The toolkit itself would ignore unmatched tensors."""
    native = folders.root / "native"
    unmatched = folders.root / "unmatched"
    unmatched.mkdir()
    shard = "peft_model-00001-of-00001.safetensors"
    tensors = read_tensors(native / shard)
    tensors["ernie.layers.9.mlp.down_proj.lora_A"] = tensors["ernie.layers.0.mlp.down_proj.lora_A"]
    write_tensors(unmatched / shard, tensors, framework="np")
    index = {"metadata": {"total_size": 0}, "weight_map": dict.fromkeys(tensors, shard)}
    (unmatched / "peft_model.safetensors.index.json").write_bytes(orjson.dumps(index))
    (unmatched / "lora_config.json").write_bytes((native / "lora_config.json").read_bytes())
    with pytest.raises(pytest.fail.Exception, match=r"unmatched tensors: ernie\.layers\.9\.mlp\.down_proj\.lora_A"):
        folders.answer_with_erniekit("unmatched", adapter="unmatched")
