"""The tiny base in its two layouts, and the tokenizer.json that goes with its tokenizer.model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from erniekit_adapter.adapters.layouts import ModelShape, base_shapes
from erniekit_adapter.adapters.layouts_base import dense_base, to_hugging_face
from erniekit_adapter.files import read_json
from erniekit_adapter.tensor_files import read_tensors
from tiny_base import convert
from tiny_base.fast_tokenizer import fast_tokenizer, merges

MODEL = Path(__file__).resolve().parents[2] / "tiny_base" / "model"
GROUPED = ModelShape(layers=2, hidden=8, heads=6, kv_heads=2, head_dim=4, ffn=6, vocab=11, tied=True)
ONE_KEY_HEAD = replace(GROUPED, heads=3, kv_heads=1)
EQUAL = replace(GROUPED, kv_heads=6, tied=False)


@pytest.mark.parametrize("shape", [GROUPED, ONE_KEY_HEAD, EQUAL])
def test_there_and_back_every_number_is_in_its_place(shape: ModelShape) -> None:
    numbers = np.random.default_rng(0)
    tensors = {name: numbers.normal(size=size) for name, size in base_shapes(shape).items()}
    back = convert.to_erniekit(to_hugging_face(tensors, dense_base(shape)), shape)
    assert back.keys() == tensors.keys()
    assert all(np.array_equal(back[name], array) for name, array in tensors.items())


def test_the_folders_tokenizer_json_is_that_of_its_tokenizer_model() -> None:
    made = fast_tokenizer((MODEL / "tokenizer.model").read_bytes())
    assert (MODEL / "tokenizer.json").read_bytes() == orjson.dumps(made)
    assert len(made["model"]["vocab"]) == read_json(MODEL / "config.json")["vocab_size"]


def test_the_ends_and_the_padding_are_marks_and_a_lines_end_is_not() -> None:
    marks = {mark["content"]: mark["id"] for mark in read_json(MODEL / "tokenizer.json")["added_tokens"]}
    config, names = read_json(MODEL / "config.json"), read_json(MODEL / "tokenizer_config.json")
    for kind in ("bos", "eos", "pad"):
        assert marks[names[f"{kind}_token"]] == config[f"{kind}_token_id"]
    assert {"<|begin_of_sentence|>", "<|end_of_sentence|>", "<unk>"} <= set(marks)
    assert "\n" not in marks


def test_earlier_pieces_are_merged_first_from_whichever_halves() -> None:
    assert merges(["ab", "abc", "bc", "a", "b", "c"]) == [("a", "b"), ("ab", "c"), ("a", "bc"), ("b", "c")]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", ["convert", *map(str, arguments)])
    convert.main()


def test_the_hugging_face_folder_holds_what_its_readers_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "--model", MODEL, "--hugging-face", tmp_path / "hf")
    config = read_json(tmp_path / "hf" / "config.json")
    assert config["fuse_rms_norm"] is False
    assert config["num_key_value_heads"] == read_json(MODEL / "config.json")["num_key_value_heads"]
    assert read_json(tmp_path / "hf" / "tokenizer_config.json")["tokenizer_class"] == "PreTrainedTokenizerFast"
    for name in ("tokenizer.json", "tokenizer.model"):
        assert (tmp_path / "hf" / name).read_bytes() == (MODEL / name).read_bytes()
    tensors = read_tensors(tmp_path / "hf" / "model.safetensors")
    assert len(tensors) == 2 + config["num_hidden_layers"] * 9


def test_a_folder_that_is_there_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(SystemExit):
        run(monkeypatch, "--model", MODEL, "--hugging-face", tmp_path)
    assert "is there already" in capsys.readouterr().err
    assert (tmp_path / "kept").read_text() == "mine"
