"""Files beside merged weights: those of the base model, without keys of training runs and code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from layout_examples import CONFIG as SIZES
from merge_examples import OTHER

from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import write_json
from erniekit_adapter.merge.server_files import TRAINING_ONLY, server_files

CONFIG: dict[str, Any] = {
    "architectures": ["Ernie4_5_ForCausalLM"],
    "model_type": "ernie4_5",
    **SIZES,
    **OTHER,
}
TOKENIZER = {"tokenizer_class": "Ernie4_5_Tokenizer", "chat_template": "{{ messages }}", "eos_token": "</s>"}


def write_base(folder: Path, **files: Any) -> Path:
    """Write a model folder without weights. `config_json` is config.json, and None omits a file."""
    contents = {"config_json": CONFIG, "tokenizer_config_json": TOKENIZER, "tokenizer_model": b"\n\x06pieces", **files}
    for key, content in contents.items():
        path = folder / ".".join(key.rsplit("_", 1))
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            write_json(path, content)
    return folder


def test_copies_files_byte_for_byte_in_erniekits_layout(tmp_path: Path) -> None:
    indented = json.dumps(CONFIG, indent=7).encode()
    files = {
        "generation_config_json": {"top_p": 0.8},
        "special_tokens_map_json": {},
        "added_tokens_json": {},
        "tokenizer_json": {},
        "chat_template_jinja": b"{{ 1 }}",
        "preprocessor_config_json": {"size": 3},
        "processor_config_json": {"a": 1},
        "config_json": indented,
    }
    base = write_base(tmp_path, **files)
    found = server_files(base)
    assert found.contents == {path.name: path.read_bytes() for path in base.iterdir()}
    assert found.missing == ()


def test_omits_weights_indexes_and_readme(tmp_path: Path) -> None:
    base = write_base(tmp_path, model_safetensors_index_json={}, README_md=b"#", training_args_bin=b"pickle")
    (base / "model.safetensors").write_bytes(b"")
    assert set(server_files(base).contents) == {
        "config.json",
        "tokenizer_config.json",
        "tokenizer.model",
    }


@pytest.mark.parametrize("key", TRAINING_ONLY)
def test_removes_and_reports_keys_of_training_runs(tmp_path: Path, key: str) -> None:
    base = write_base(tmp_path, config_json={**CONFIG, key: False})
    found = server_files(base)
    assert json.loads(found.contents["config.json"]) == CONFIG
    assert found.removed_keys == (key,)


def test_reports_missing_optional_files(tmp_path: Path) -> None:
    base = write_base(tmp_path, tokenizer_config_json={"tokenizer_class": "LlamaTokenizer"})
    found = server_files(base)
    assert found.missing == ("a chat template", "tokenizer.json", "generation_config.json")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"config_json": None}, "config.json: missing, but a server needs it"),
        ({"tokenizer_model": None}, "has neither tokenizer.model nor tokenizer.json"),
        ({"tokenizer_config_json": {}}, "has no tokenizer_class"),
        ({"tokenizer_config_json": b"{"}, "not JSON"),
        ({"config_json": b"[]"}, "is not an object"),
    ],
)
def test_rejects_missing_and_damaged_files(tmp_path: Path, files: dict[str, Any], expected: str) -> None:
    with pytest.raises(AdapterError) as error:
        server_files(write_base(tmp_path, **files))
    assert expected in str(error.value)


def test_removes_code_and_keys_that_name_code(tmp_path: Path) -> None:
    code = {"auto_map": {"AutoModel": "modeling_paddleocr_vl.Model"}, "_name_or_path": "user/model"}
    tokenizer = {**TOKENIZER, "tokenizer_file": "/home/user/tokenizer.json"}
    base = write_base(tmp_path, modeling_paddleocr_vl_py=b"\n", config_json={**CONFIG, **code})
    write_base(tmp_path, config_json={**CONFIG, **code}, tokenizer_config_json=tokenizer)
    found = server_files(base)
    assert not [name for name in found.contents if name.endswith(".py")]
    assert json.loads(found.contents["config.json"]) == CONFIG
    assert json.loads(found.contents["tokenizer_config.json"]) == TOKENIZER
    removed = ("config.json _name_or_path", "config.json auto_map", "tokenizer_config.json tokenizer_file")
    assert found.removed_keys == removed


def test_rejects_an_unsafe_template(tmp_path: Path) -> None:
    base = write_base(tmp_path, chat_template_jinja=b"{{ messages.__class__ }}")
    with pytest.raises(AdapterError, match="the attribute '__class__'"):
        server_files(base)


def test_hugging_face_layout_names_transformers_classes(tmp_path: Path) -> None:
    base = write_base(tmp_path, tokenizer_json={"model": {}}, generation_config_json={"top_p": 0.8, "eos_token_id": 2})
    found = server_files(base, "bfloat16").contents
    config = json.loads(found["config.json"])
    assert (config["architectures"], config["torch_dtype"]) == (["Ernie4_5ForCausalLM"], "bfloat16")
    tokenizer = json.loads(found["tokenizer_config.json"])
    assert tokenizer["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert tokenizer["chat_template"] == TOKENIZER["chat_template"]
    generation = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "top_p": 0.8}
    assert json.loads(found["generation_config.json"]) == generation
    assert found["tokenizer.json"] == (base / "tokenizer.json").read_bytes()
