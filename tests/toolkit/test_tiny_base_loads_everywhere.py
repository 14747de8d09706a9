"""The demo's base model computes the same in all libraries that can read it; ERNIEKit 1.0.1 is the reference.

ERNIEKit reads the folder itself; the others read the one that `python -m tiny_base.convert --hugging-face` writes.
Largest differences in logits on CPU in float32, with four models, on scales up to 21: transformers 4 and 5 8.3e-5,
PaddleFormers 6.4e-5. (With gate and up swapped they are 9.3 in test_equal_to_hugging_face.)
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytestmark = pytest.mark.toolkit

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "tiny_base" / "model"
START = ROOT / "erniekit_adapter" / "workers" / "start.py"
TOLERANCE = 5e-4
TOKENIZERS = {
    "erniekit": "ernie.tokenizer:Ernie4_5_Tokenizer",
    "transformers": "transformers:AutoTokenizer",
    "transformers5": "transformers:AutoTokenizer",
    "paddleformers": "paddleformers.transformers:AutoTokenizer",
}
INVOICE = """\
Müller & Söhne GmbH        INVOICE R-2024/0815
Date: 2024-03-07    Due: 06.04.2024

  qty  item              price     amount
    3  Desk lamp „Øre“   20.00      60.00
   12  Paper 80 g/m²      4.49      53.88

Subtotal 113.88   VAT 19 % 21.64   Total 135.52 €"""
REQUESTS: list[dict[str, Any]] = [
    {"id": "invoice", "request": f"{INVOICE}\n\nWhat is the total?"},
    {"id": "system", "request": INVOICE, "system": "  You read invoices.\nAnswer in JSON.  "},
    {"id": "pieces", "request": "a <|end_of_sentence|> b </s> c <mask:1> 发票 \U0001f9fe <s><unk>"},
]
Arrays = dict[str, npt.NDArray[Any]]


@dataclass
class ModelFolders:
    """A folder for files, with the model in Hugging Face's layout."""

    root: Path
    run: Callable[..., str]

    @property
    def hugging_face(self) -> Path:
        return self.root / "hf"

    def requests(self) -> Path:
        path = self.root / "requests.jsonl"
        path.write_text("".join(json.dumps(request) + "\n" for request in REQUESTS), encoding="utf-8")
        return path

    def run_worker(self, name: str, python: Path, worker: str, model: Path) -> Arrays:
        """Return token ids and logits of the prompts from a worker, with the token ids of its answers."""
        logits, answers = self.root / f"{name}.npz", self.root / f"{name}.jsonl"
        options = ["--model", model, "--requests", self.requests(), "--answers", answers, "--logits", logits]
        self.run(python, START, worker, *options, "--max-new-tokens", 24)
        lines = map(json.loads, answers.read_text(encoding="utf-8").splitlines())
        return read_arrays(logits) | {f"{line['id']}:answer_ids": np.array(line["answer_ids"]) for line in lines}


def read_arrays(path: Path) -> Arrays:
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory, run_python: Callable[..., str]) -> ModelFolders:
    root = tmp_path_factory.mktemp("everywhere")
    command = [sys.executable, "-m", "tiny_base.convert", "--model", MODEL, "--hugging-face", root / "hf"]
    subprocess.run(command, cwd=ROOT, check=True)
    return ModelFolders(root, run_python)


@pytest.fixture(scope="module")
def erniekit(folders: ModelFolders, erniekit_python: Path) -> Arrays:
    return folders.run_worker("erniekit", erniekit_python, "erniekit_generate", MODEL)


def assert_same(reference: Arrays, found: Arrays, finding: str) -> None:
    names = [request["id"] for request in REQUESTS]
    for name in names:
        assert reference[f"{name}:prompt_ids"].tolist() == found[f"{name}:prompt_ids"].tolist(), (finding, name)
    largest = max(float(np.abs(reference[name] - found[name]).max()) for name in names)
    scale = max(float(np.abs(reference[name]).max()) for name in names)
    print(f"{finding}: logits differ by {largest:.1e} on a scale of {scale:.0f}")
    assert largest < TOLERANCE


def assert_same_answers(reference: Arrays, found: Arrays) -> None:
    for request in REQUESTS:
        name = f"{request['id']}:answer_ids"
        assert reference[name].tolist() == found[name].tolist(), name


def test_erniekit_reads_the_folder_unchanged(erniekit: Arrays) -> None:
    """The worker refuses missing and unmatched tensors, and prompts that differ from those of training."""
    vocabulary = json.loads((MODEL / "config.json").read_text())["vocab_size"]
    for request in REQUESTS:
        ids, logits = erniekit[f"{request['id']}:prompt_ids"], erniekit[request["id"]]
        assert logits.shape == (len(ids), vocabulary)
        assert np.isfinite(logits).all()
        assert logits.std() > 1, "with an untrained model the other tests would show little"


def test_transformers_4_computes_the_same(folders: ModelFolders, erniekit: Arrays, transformers_python: Path) -> None:
    found = folders.run_worker("transformers", transformers_python, "transformers_generate", folders.hugging_face)
    assert_same(erniekit, found, "transformers 4")
    assert_same_answers(erniekit, found)


def test_transformers_5_computes_the_same(folders: ModelFolders, erniekit: Arrays, transformers5_python: Path) -> None:
    found = folders.run_worker("transformers5", transformers5_python, "transformers_generate", folders.hugging_face)
    assert_same(erniekit, found, "transformers 5")
    assert_same_answers(erniekit, found)


def test_paddleformers_computes_the_same(folders: ModelFolders, erniekit: Arrays, paddleformers_python: Path) -> None:
    script, logits = Path(__file__).with_name("paddleformers_logits.py"), folders.root / "paddleformers.npz"
    folders.run(paddleformers_python, script, folders.hugging_face, folders.requests(), logits)
    assert_same(erniekit, read_arrays(logits), "PaddleFormers")


@pytest.mark.parametrize("toolkit", TOKENIZERS)
def test_tokenizer_is_the_same_everywhere(toolkit: str, folders: ModelFolders, request: pytest.FixtureRequest) -> None:
    python, script = request.getfixturevalue(f"{toolkit}_python"), Path(__file__).with_name("token_ids.py")
    read = [MODEL] if toolkit == "erniekit" else [MODEL, folders.hugging_face]
    lines = folders.run(python, script, TOKENIZERS[toolkit], *read).splitlines()
    for found in map(json.loads, lines[-len(read) :]):
        assert found["differ"] == []
        assert found["texts"] > 3000
