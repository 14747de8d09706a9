"""Attacks by someone who can write to a bundle's folder. The manifest is written again after each attack.

Each attack changes a good bundle with the formats native, peft and merged.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from erniekit_adapter.files import read_json, write_json
from erniekit_adapter.tensor_files import read_tensors, write_tensors

CONFIG, ADAPTER, NATIVE = "merged/config.json", "peft/adapter_config.json", "native/lora_config.json"
WEIGHTS, MODEL = "peft/adapter_model.safetensors", "merged/model.safetensors"
TOKENIZER = "merged/tokenizer_config.json"


@dataclass(frozen=True)
class Attack:
    """An attack and the expected error.

    Attributes:
        make: changes the bundle.
        expected: a part of the error's text.
        manifest: changes the manifest after it was written again.
    """

    make: Callable[[Path], object]
    expected: str
    manifest: Callable[[dict[str, Any]], object] = lambda manifest: None


def with_keys(name: str, **more: Any) -> Callable[[Path], None]:
    """Return a function that sets keys of a JSON file; `a__b` is the key `b` in `a`."""

    def change(bundle: Path) -> None:
        content = read_json(bundle / name) if (bundle / name).exists() else {}
        for key, value in more.items():
            outer, _, inner = key.partition("__") if not key.startswith("_") else (key, "", "")
            if inner:
                content.setdefault(outer, {})[inner] = value
            else:
                content[outer] = value
        write_json(bundle / name, content)

    return change


def with_file(name: str, content: bytes) -> Callable[[Path], None]:
    """Return a function that writes a file."""

    def change(bundle: Path) -> None:
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle / name).write_bytes(content)

    return change


def replacing(name: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    """Return a function that replaces bytes of a file, which must contain them."""

    def change(bundle: Path) -> None:
        content = (bundle / name).read_bytes()
        assert old in content
        (bundle / name).write_bytes(content.replace(old, new, 1))

    return change


def with_number(name: str, number: float, dtype: str | None = None) -> Callable[[Path], None]:
    """Return a function that changes the number in the middle of a safetensors file's last tensor."""

    def change(bundle: Path) -> None:
        tensors = {key: np.array(value) for key, value in read_tensors(bundle / name).items()}
        if dtype:
            tensors = {key: value.astype(dtype) for key, value in tensors.items()}
        last = sorted(tensors)[-1]
        tensors[last].flat[tensors[last].size // 2] = number
        write_tensors(bundle / name, tensors)

    return change


def with_header(change_header: Callable[[bytes], bytes], name: str = WEIGHTS) -> Callable[[Path], None]:
    """Return a function that changes the JSON header of a safetensors file, including its length."""

    def change(bundle: Path) -> None:
        content = (bundle / name).read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = change_header(content[8 : 8 + length])
        (bundle / name).write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])

    return change


def twice(header: bytes) -> bytes:
    """Repeat the first tensor of a header with other offsets."""
    entries = json.loads(header)
    name = next(key for key in entries if key != "__metadata__")
    again = json.dumps({name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return again[:-1] + b"," + header.strip()[1:]


def polyglot(bundle: Path) -> None:
    """Append a zip archive to a safetensors file: zip readers begin at the end of a file."""
    with zipfile.ZipFile(bundle / WEIGHTS, "a") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x04N.")


def with_unused_bytes(bundle: Path) -> None:
    """Move the data, and put a pickle between header and data."""
    content = (bundle / WEIGHTS).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for name, entry in header.items():
        if name != "__metadata__":
            entry["data_offsets"] = [offset + 8 for offset in entry["data_offsets"]]
    encoded = json.dumps(header).encode()
    (bundle / WEIGHTS).write_bytes(struct.pack("<Q", len(encoded)) + encoded + b"cos\nsys\n" + content[8 + length :])


def hard_link(bundle: Path) -> None:
    """Add a second name of a file outside the bundle."""
    os.link(bundle / WEIGHTS, bundle.parent / "outside")


def uppercase_folder(bundle: Path) -> None:
    """Rename a format's folder to upper case."""
    shutil.move(bundle / "peft", bundle / "PEFT")


def nested(levels: int) -> bytes:
    """Return JSON with deep nesting."""
    return b'{"a":' * levels + b"1" + b"}" * levels


def remote(name: str) -> Attack:
    """Return an attack that names another base model, also in the manifest."""

    def change(bundle: Path) -> None:
        with_keys(ADAPTER, base_model_name_or_path=name)(bundle)
        with_keys(NATIVE, base_model_name_or_path=name)(bundle)

    def manifest(content: dict[str, Any]) -> None:
        content["base_model"]["name"] = name

    return Attack(change, "a reader would download it", manifest)


class Harmless:
    """Content of the pickles; a real attack would run a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("unpickled",))


PICKLES = {
    f"pickle protocol {protocol} as {name}": Attack(with_file(name, pickle.dumps(Harmless(), protocol)), expected)
    for protocol in range(6)
    for name, expected in (
        ("peft/training_args", "is not a file of a bundle"),
        (ADAPTER, "not JSON"),
        (WEIGHTS, "not a safetensors file"),
        ("README.md", "README.md: "),
        ("merged/tokenizer.model", "is not a SentencePiece model"),
    )
}
CODE = {
    "a .py file": Attack(with_file("merged/modeling_ernie.py", b"import os\n"), "is not a file of a bundle"),
    "a .so file": Attack(with_file("peft/kernel.so", b"\x7fELF"), "is not a file of a bundle"),
    "a .pth file at the top": Attack(with_file("x.pth", b"import os"), "is a pickle by its name"),
    "auto_map in config.json": Attack(with_keys(CONFIG, auto_map={"AutoModel": "a.B"}), "run or download code"),
    "auto_map in a nested config": Attack(
        with_keys(CONFIG, vision_config__auto_map={"A": "b.C"}), "run or download code"
    ),
    "auto_map in tokenizer_config.json": Attack(with_keys(TOKENIZER, auto_map={"A": ["b.C", None]}), "download code"),
    "auto_map in preprocessor_config.json": Attack(
        with_keys("merged/preprocessor_config.json", auto_map={"A": "b.C"}), "run or download code"
    ),
    "auto_mapping in adapter_config.json": Attack(
        with_keys(ADAPTER, auto_mapping={"base_model_class": "A", "parent_library": "os"}), "is not a key of a LoRA"
    ),
    "trust_remote_code": Attack(with_keys(CONFIG, trust_remote_code=True), "run or download code"),
    "custom_generate": Attack(
        with_keys("merged/generation_config.json", custom_generate="a/b"), "run or download code"
    ),
    "a kernel of the hub as attention": Attack(with_keys(CONFIG, _attn_implementation="a/b"), "is not a plain name"),
    "a class of another repository": Attack(with_keys(TOKENIZER, tokenizer_class="a/b--c.D"), "is not a plain name"),
    "a path to another tokenizer": Attack(
        with_keys(TOKENIZER, tokenizer_file="/root/x.json"), "this key may not have text"
    ),
    "a URL under a new key": Attack(with_keys(CONFIG, weights_from="https://x.example"), "this key may not have text"),
    "a pipeline of diffusers": Attack(
        with_keys(CONFIG, custom_pipelines={"a": {"impl": "b.C"}}), "run or download code"
    ),
    "a model of another kind": Attack(
        with_keys(CONFIG, model_type="llava", architectures=["Llava"]), "is not a model of ERNIE 4.5"
    ),
    "a template that leaves the sandbox": Attack(
        with_file("merged/chat_template.jinja", b"{{ messages.__class__.__mro__ }}"), "uses the attribute '__class__'"
    ),
    "a template with the filter attr": Attack(
        with_keys(TOKENIZER, chat_template="{{ messages|attr('x') }}"), "uses the filter 'attr'"
    ),
    "a template that includes a file": Attack(
        with_file("merged/chat_template.json", b'{"chat_template": "{% include \'/etc/passwd\' %}"}'),
        "another template",
    ),
    "a template with an endless loop": Attack(
        with_keys(TOKENIZER, chat_template="{% for i in range(999999999) %}x{% endfor %}"), "uses a number over"
    ),
}
BASES = {
    "a base model of the hub": remote("user/ernie"),
    "a base model by a bare name": remote("ernie"),
    "a base model by URL": remote("https://x.example/model"),
    "a base model by file URL": remote("file:///tmp/model"),
    "another base model in one format only": Attack(
        with_keys(ADAPTER, base_model_name_or_path="/root/other"), "is not the base model in manifest.json"
    ),
}
NUMBERS = {
    "rank 100000": Attack(with_keys(ADAPTER, r=100_000), "less than or equal to"),
    "rank 100000 in native": Attack(with_keys(NATIVE, r=100_000), "less than or equal to"),
    "a rank that is not the weights'": Attack(
        with_keys(ADAPTER, r=4), "has the rank 3 and 3, expected 4", lambda manifest: manifest["lora"].update(rank=4)
    ),
    "a rank as text": Attack(with_keys(ADAPTER, r="3"), "valid integer"),
    "a scale of 1e300": Attack(with_keys(ADAPTER, lora_alpha=1e300), "less than or equal to"),
    "another method than LoRA": Attack(with_keys(ADAPTER, peft_type="IA3"), "Input should be 'LORA'"),
    "DoRA": Attack(with_keys(ADAPTER, use_dora=True), "is not a key of a LoRA"),
    "other ranks by layer": Attack(with_keys(ADAPTER, rank_pattern={"o_proj": 64}), "is not a key of a LoRA"),
    "another switch of the toolkit": Attack(with_keys(NATIVE, use_something=True), "is not a key of a LoRA"),
    "layers without weights": Attack(with_keys(ADAPTER, target_modules=["o_proj", "lm_head"]), "has no weights"),
    "weights that no layer takes": Attack(with_keys(ADAPTER, target_modules=["q_proj"]), "which has weights"),
    "a pattern that takes too long": Attack(with_keys(NATIVE, target_modules=["(a+)+$"]), "may take too long"),
    "NaN in float32": Attack(with_number(WEIGHTS, np.nan), "contains NaN or infinity"),
    "infinity in float16": Attack(with_number(WEIGHTS, np.inf, "<f2"), "contains NaN or infinity"),
    "minus infinity in float64": Attack(with_number(WEIGHTS, -np.inf, "<f8"), "contains NaN or infinity"),
    "NaN in merged weights": Attack(with_number(MODEL, np.nan), "contains NaN or infinity"),
    "another vocabulary than the weights'": Attack(with_keys(CONFIG, vocab_size=10**9), "but the embedding has"),
    "more layers than the weights": Attack(with_keys(CONFIG, num_hidden_layers=10**6), "but the weights have"),
    "NaN in JSON": Attack(replacing(ADAPTER, b'"lora_alpha": 6', b'"lora_alpha": NaN'), "not JSON"),
    "an infinity in JSON": Attack(replacing(ADAPTER, b'"lora_alpha": 6', b'"lora_alpha": 1e999'), "not JSON"),
    "an integer of 101 digits": Attack(
        replacing(CONFIG, b'"vocab_size": ', b'"a": 1' + b"0" * 100 + b', "vocab_size": '), "101 digits"
    ),
}
FORMATS = {
    "a key twice in JSON": Attack(replacing(ADAPTER, b'"r": 3', b'"r": 512, "r": 3'), "repeats the key 'r'"),
    "a key twice in a safetensors header": Attack(with_header(twice), "repeats the key"),
    "an unknown key in a safetensors header": Attack(
        with_header(lambda header: header.replace(b'"dtype"', b'"code":1,"dtype"', 1)), "damaged header entry"
    ),
    "sizes as text in a safetensors header": Attack(
        with_header(lambda header: header.replace(b"[3,", b'["3",', 1)), "damaged header entry"
    ),
    "metadata that is not text": Attack(
        with_header(lambda header: header.replace(b'"pt"', b'["pt"]')), "is not an object of texts"
    ),
    "a zip behind the weights": Attack(polyglot, "has data that belongs to no tensor"),
    "a pickle between header and data": Attack(with_unused_bytes, "does not begin at the end of the header"),
    "an index that names another file": Attack(
        replacing("native/peft_model.safetensors.index.json", b"peft_model-", b"../../model-"), "does not list exactly"
    ),
    "JSON that is nested 5,000 levels deep": Attack(with_file("merged/generation_config.json", nested(5000)), "depth"),
    "JSON that is nested 200 levels deep": Attack(
        with_file("merged/generation_config.json", nested(200)), "levels deep"
    ),
    "half a surrogate pair": Attack(replacing(TOKENIZER, b"{{ 1 }}", b"\\ud800"), "not JSON"),
    "UTF-16": Attack(with_file(ADAPTER, '{"r": 3}'.encode("utf-16")), "not JSON"),
    "Latin-1 in a template": Attack(with_file("merged/chat_template.jinja", b"\xe9"), "is not UTF-8"),
    "a control character in the model card": Attack(with_file("README.md", b"---\n---\n\x1b[2J"), "control character"),
}
FOLDERS = {
    "a hard link": Attack(hard_link, "has 2 names (hard links)"),
    "an empty folder": Attack(lambda bundle: (bundle / "merged-hf").mkdir(), "is an empty folder"),
    "a folder in a format's folder": Attack(
        lambda bundle: (bundle / "peft/more").mkdir(), "is a folder, but not the folder of a bundle format"
    ),
    "a folder of another name": Attack(
        lambda bundle: (bundle / ".git").mkdir(), "is a folder, but not the folder of a bundle format"
    ),
    "a format in upper case": Attack(uppercase_folder, "is not a file of a bundle"),
    "a file in upper case": Attack(with_file("readme.MD", b"x"), "is not a file of a bundle"),
    "a name with another Unicode normalisation": Attack(with_file("peft/ﬁle.json", b"{}"), "is not a file of a bundle"),
    "a format that the manifest does not name": Attack(
        lambda bundle: None, "forms: names native, merged", lambda manifest: manifest.update(forms=["native", "merged"])
    ),
    "a format without its configuration": Attack(
        lambda bundle: (bundle / ADAPTER).unlink(), "lacks peft/adapter_config"
    ),
    "weights that no index names": Attack(
        lambda bundle: shutil.copy(bundle / MODEL, bundle / "merged/model-2.safetensors"), "has no index"
    ),
}
ATTACKS = {**PICKLES, **CODE, **BASES, **NUMBERS, **FORMATS, **FOLDERS}
