"""Conversion of the tiny base between its two layouts, and its tokenizer.json."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from erniekit_adapter.files import read_json
from erniekit_adapter.layouts.base_model import dense_base, to_hugging_face
from erniekit_adapter.layouts.dense import DenseShape, base_shapes
from erniekit_adapter.tensor_files import read_tensors
from tiny_base import convert
from tiny_base.fast_tokenizer import fast_tokenizer, merges

MODEL = Path(__file__).resolve().parents[2] / "tiny_base" / "model"
GROUPED = DenseShape(layers=2, hidden=8, heads=6, kv_heads=2, head_dim=4, ffn=6, vocab=11, tied=True)
ONE_KEY_HEAD = replace(GROUPED, heads=3, kv_heads=1)
EQUAL = replace(GROUPED, kv_heads=6, tied=False)


@pytest.mark.parametrize("shape", [GROUPED, ONE_KEY_HEAD, EQUAL])
def test_conversion_round_trips_every_number(shape: DenseShape) -> None:
    numbers = np.random.default_rng(0)
    tensors = {name: numbers.normal(size=size) for name, size in base_shapes(shape).items()}
    back = convert.to_erniekit(to_hugging_face(tensors, dense_base(shape)), shape)
    assert back.keys() == tensors.keys()
    assert all(np.array_equal(back[name], array) for name, array in tensors.items())


def test_tokenizer_json_matches_tokenizer_model() -> None:
    built = fast_tokenizer((MODEL / "tokenizer.model").read_bytes())
    assert (MODEL / "tokenizer.json").read_bytes() == orjson.dumps(built)
    assert len(built["model"]["vocab"]) == read_json(MODEL / "config.json")["vocab_size"]


def test_ends_and_padding_are_special_tokens() -> None:
    tokens = {token["content"]: token["id"] for token in read_json(MODEL / "tokenizer.json")["added_tokens"]}
    config, names = read_json(MODEL / "config.json"), read_json(MODEL / "tokenizer_config.json")
    for kind in ("bos", "eos", "pad"):
        assert tokens[names[f"{kind}_token"]] == config[f"{kind}_token_id"]
    assert {"<|begin_of_sentence|>", "<|end_of_sentence|>", "<unk>"} <= set(tokens)
    assert "\n" not in tokens


def test_merges_earlier_pieces_first() -> None:
    assert merges(["ab", "abc", "bc", "a", "b", "c"]) == [("a", "b"), ("ab", "c"), ("a", "bc"), ("b", "c")]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr("sys.argv", ["convert", *map(str, arguments)])
    convert.main()


def test_hugging_face_folder_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(monkeypatch, "--model", MODEL, "--hugging-face", tmp_path / "hf")
    config = read_json(tmp_path / "hf" / "config.json")
    assert config["fuse_rms_norm"] is False
    assert config["num_key_value_heads"] == read_json(MODEL / "config.json")["num_key_value_heads"]
    assert read_json(tmp_path / "hf" / "tokenizer_config.json")["tokenizer_class"] == "PreTrainedTokenizerFast"
    for name in ("tokenizer.json", "tokenizer.model"):
        assert (tmp_path / "hf" / name).read_bytes() == (MODEL / name).read_bytes()
    tensors = read_tensors(tmp_path / "hf" / "model.safetensors")
    assert len(tensors) == 2 + config["num_hidden_layers"] * 9


def test_does_not_replace_an_existing_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(SystemExit):
        run(monkeypatch, "--model", MODEL, "--hugging-face", tmp_path)
    assert "already exists" in capsys.readouterr().err
    assert (tmp_path / "kept").read_text() == "mine"
