"""Attacks by a person who may write into a bundle's folder; the manifest is written again after each of them.

Each attack takes the folder of a good bundle with the forms native, peft and merged. `expected` is a part of the error.
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
    """An attack, and what it is answered with.

    Attributes:
        make: changes the bundle in its folder.
        expected: a part of the error's text.
        manifest: changes the manifest, after its files were listed again.
    """

    make: Callable[[Path], object]
    expected: str
    manifest: Callable[[dict[str, Any]], object] = lambda manifest: None


def saying(name: str, **more: Any) -> Callable[[Path], None]:
    """Set keys of a JSON file; a key with `__` is one inside another."""

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


def holding(name: str, content: bytes) -> Callable[[Path], None]:
    """Write a file."""

    def change(bundle: Path) -> None:
        (bundle / name).parent.mkdir(parents=True, exist_ok=True)
        (bundle / name).write_bytes(content)

    return change


def replacing(name: str, old: bytes, new: bytes) -> Callable[[Path], None]:
    """Replace bytes of a file, which has to hold them."""

    def change(bundle: Path) -> None:
        content = (bundle / name).read_bytes()
        assert old in content
        (bundle / name).write_bytes(content.replace(old, new, 1))

    return change


def with_number(name: str, number: float, dtype: str | None = None) -> Callable[[Path], None]:
    """Put a number into the middle of the last tensor of a safetensors file."""

    def change(bundle: Path) -> None:
        tensors = {key: np.array(value) for key, value in read_tensors(bundle / name).items()}
        if dtype:
            tensors = {key: value.astype(dtype) for key, value in tensors.items()}
        last = sorted(tensors)[-1]
        tensors[last].flat[tensors[last].size // 2] = number
        write_tensors(bundle / name, tensors)

    return change


def with_header(change_header: Callable[[bytes], bytes], name: str = WEIGHTS) -> Callable[[Path], None]:
    """Change the JSON header of a safetensors file, and its length with it."""

    def change(bundle: Path) -> None:
        content = (bundle / name).read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = change_header(content[8 : 8 + length])
        (bundle / name).write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])

    return change


def twice(header: bytes) -> bytes:
    """Repeat the first tensor of a header under its name, with other offsets."""
    entries = json.loads(header)
    name = next(key for key in entries if key != "__metadata__")
    again = json.dumps({name: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return again[:-1] + b"," + header.strip()[1:]


def polyglot(bundle: Path) -> None:
    """A zip behind a safetensors file: readers of zips look at the end of a file."""
    with zipfile.ZipFile(bundle / WEIGHTS, "a") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x04N.")


def with_unused_bytes(bundle: Path) -> None:
    """A tensor's data begins later, so that a pickle fits between header and data."""
    content = (bundle / WEIGHTS).read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for name, entry in header.items():
        if name != "__metadata__":
            entry["data_offsets"] = [offset + 8 for offset in entry["data_offsets"]]
    encoded = json.dumps(header).encode()
    (bundle / WEIGHTS).write_bytes(struct.pack("<Q", len(encoded)) + encoded + b"cos\nsys\n" + content[8 + length :])


def hard_link(bundle: Path) -> None:
    """A file with a second name outside the bundle."""
    os.link(bundle / WEIGHTS, bundle.parent / "outside")


def renamed_form(bundle: Path) -> None:
    """A form under a name that differs in case."""
    shutil.move(bundle / "peft", bundle / "PEFT")


def nested(levels: int) -> bytes:
    """JSON that is nested deeper than a parser may recurse."""
    return b'{"a":' * levels + b"1" + b"}" * levels


def remote(name: str) -> Attack:
    """Name another base model, in the manifest as well."""

    def change(bundle: Path) -> None:
        saying(ADAPTER, base_model_name_or_path=name)(bundle)
        saying(NATIVE, base_model_name_or_path=name)(bundle)

    def manifest(content: dict[str, Any]) -> None:
        content["base_model"]["name"] = name

    return Attack(change, "a reader would download it", manifest)


class Harmless:
    """Content of the pickles; a real one would run a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("unpickled",))


PICKLES = {
    f"pickle protocol {protocol} as {name}": Attack(holding(name, pickle.dumps(Harmless(), protocol)), expected)
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
    "a .py file": Attack(holding("merged/modeling_ernie.py", b"import os\n"), "is not a file of a bundle"),
    "a .so file": Attack(holding("peft/kernel.so", b"\x7fELF"), "is not a file of a bundle"),
    "a .pth file at the top": Attack(holding("x.pth", b"import os"), "is a pickle by its name"),
    "auto_map in config.json": Attack(saying(CONFIG, auto_map={"AutoModel": "a.B"}), "run or download code"),
    "auto_map in a nested config": Attack(saying(CONFIG, vision_config__auto_map={"A": "b.C"}), "run or download code"),
    "auto_map in tokenizer_config.json": Attack(saying(TOKENIZER, auto_map={"A": ["b.C", None]}), "download code"),
    "auto_map in preprocessor_config.json": Attack(
        saying("merged/preprocessor_config.json", auto_map={"A": "b.C"}), "run or download code"
    ),
    "auto_mapping in adapter_config.json": Attack(
        saying(ADAPTER, auto_mapping={"base_model_class": "A", "parent_library": "os"}), "is not a key of a LoRA"
    ),
    "trust_remote_code": Attack(saying(CONFIG, trust_remote_code=True), "run or download code"),
    "custom_generate": Attack(saying("merged/generation_config.json", custom_generate="a/b"), "run or download code"),
    "a kernel of the hub as attention": Attack(saying(CONFIG, _attn_implementation="a/b"), "is not a plain name"),
    "a class of another repository": Attack(saying(TOKENIZER, tokenizer_class="a/b--c.D"), "is not a plain name"),
    "a path to another tokenizer": Attack(
        saying(TOKENIZER, tokenizer_file="/root/x.json"), "not a key that may have one"
    ),
    "a URL under a new key": Attack(saying(CONFIG, weights_from="https://x.example"), "not a key that may have one"),
    "a pipeline of diffusers": Attack(saying(CONFIG, custom_pipelines={"a": {"impl": "b.C"}}), "run or download code"),
    "a model of another kind": Attack(
        saying(CONFIG, model_type="llava", architectures=["Llava"]), "is none of ERNIE 4.5's"
    ),
    "a template that leaves the sandbox": Attack(
        holding("merged/chat_template.jinja", b"{{ messages.__class__.__mro__ }}"), "uses the attribute '__class__'"
    ),
    "a template with the filter attr": Attack(
        saying(TOKENIZER, chat_template="{{ messages|attr('x') }}"), "uses the filter 'attr'"
    ),
    "a template that includes a file": Attack(
        holding("merged/chat_template.json", b'{"chat_template": "{% include \'/etc/passwd\' %}"}'), "another template"
    ),
    "a template without end": Attack(
        saying(TOKENIZER, chat_template="{% for i in range(999999999) %}x{% endfor %}"), "uses a number over"
    ),
}
BASES = {
    "a base model of the hub": remote("somebody/ernie"),
    "a base model by a bare name": remote("ernie"),
    "a base model by URL": remote("https://x.example/model"),
    "a base model by file URL": remote("file:///tmp/model"),
    "another base model in the form alone": Attack(
        saying(ADAPTER, base_model_name_or_path="/root/other"), "is not the base model that manifest.json names"
    ),
}
NUMBERS = {
    "rank 100000": Attack(saying(ADAPTER, r=100_000), "less than or equal to"),
    "rank 100000 of the native form": Attack(saying(NATIVE, r=100_000), "less than or equal to"),
    "a rank that is not the weights'": Attack(
        saying(ADAPTER, r=4), "has the rank 3 and 3, expected 4", lambda manifest: manifest["lora"].update(rank=4)
    ),
    "a rank as text": Attack(saying(ADAPTER, r="3"), "valid integer"),
    "a scale of 1e300": Attack(saying(ADAPTER, lora_alpha=1e300), "less than or equal to"),
    "another method than LoRA": Attack(saying(ADAPTER, peft_type="IA3"), "Input should be 'LORA'"),
    "DoRA": Attack(saying(ADAPTER, use_dora=True), "is not a key of a LoRA"),
    "other ranks by layer": Attack(saying(ADAPTER, rank_pattern={"o_proj": 64}), "is not a key of a LoRA"),
    "another switch of the toolkit": Attack(saying(NATIVE, use_something=True), "is not a key of a LoRA"),
    "layers without weights": Attack(saying(ADAPTER, target_modules=["o_proj", "lm_head"]), "has no weights"),
    "weights that no layer takes": Attack(saying(ADAPTER, target_modules=["q_proj"]), "which has weights"),
    "a pattern that takes for ever": Attack(saying(NATIVE, target_modules=["(a+)+$"]), "may take for ever"),
    "NaN in float32": Attack(with_number(WEIGHTS, np.nan), "holds NaN or an infinity"),
    "infinity in float16": Attack(with_number(WEIGHTS, np.inf, "<f2"), "holds NaN or an infinity"),
    "minus infinity in float64": Attack(with_number(WEIGHTS, -np.inf, "<f8"), "holds NaN or an infinity"),
    "NaN in merged weights": Attack(with_number(MODEL, np.nan), "holds NaN or an infinity"),
    "another vocabulary than the weights'": Attack(saying(CONFIG, vocab_size=10**9), "and the embedding has"),
    "more layers than the weights": Attack(saying(CONFIG, num_hidden_layers=10**6), "and the weights are of"),
    "NaN in JSON": Attack(replacing(ADAPTER, b'"lora_alpha": 6', b'"lora_alpha": NaN'), "not JSON"),
    "an infinity in JSON": Attack(replacing(ADAPTER, b'"lora_alpha": 6', b'"lora_alpha": 1e999'), "not JSON"),
    "an integer of 101 digits": Attack(
        replacing(CONFIG, b'"vocab_size": ', b'"a": 1' + b"0" * 100 + b', "vocab_size": '), "101 digits"
    ),
}
FORMATS = {
    "a key twice in JSON": Attack(replacing(ADAPTER, b'"r": 3', b'"r": 512, "r": 3'), "repeats the key 'r'"),
    "a key twice in a safetensors header": Attack(with_header(twice), "repeats the key"),
    "a strange key in a safetensors header": Attack(
        with_header(lambda header: header.replace(b'"dtype"', b'"code":1,"dtype"', 1)), "damaged header entry"
    ),
    "sizes as text in a safetensors header": Attack(
        with_header(lambda header: header.replace(b"[3,", b'["3",', 1)), "damaged header entry"
    ),
    "metadata that is not text": Attack(
        with_header(lambda header: header.replace(b'"pt"', b'["pt"]')), "is not an object of texts"
    ),
    "a zip behind the weights": Attack(polyglot, "holds data that belongs to no tensor"),
    "a pickle between header and data": Attack(with_unused_bytes, "does not begin where the header ends"),
    "an index that names another file": Attack(
        replacing("native/peft_model.safetensors.index.json", b"peft_model-", b"../../model-"), "does not name every"
    ),
    "JSON that is nested 5,000 levels deep": Attack(holding("merged/generation_config.json", nested(5000)), "depth"),
    "JSON that is nested 200 levels deep": Attack(holding("merged/generation_config.json", nested(200)), "levels deep"),
    "half a surrogate pair": Attack(replacing(TOKENIZER, b"{{ 1 }}", b"\\ud800"), "not JSON"),
    "UTF-16": Attack(holding(ADAPTER, '{"r": 3}'.encode("utf-16")), "not JSON"),
    "Latin-1 in a template": Attack(holding("merged/chat_template.jinja", b"\xe9"), "is not UTF-8"),
    "a control character in the model card": Attack(holding("README.md", b"---\n---\n\x1b[2J"), "control character"),
}
FOLDERS = {
    "a hard link": Attack(hard_link, "has 2 names (hard links)"),
    "an empty folder": Attack(lambda bundle: (bundle / "merged-hf").mkdir(), "is an empty folder"),
    "a folder in a form's": Attack(
        lambda bundle: (bundle / "peft/more").mkdir(), "is a folder, and not that of a form"
    ),
    "a folder of another name": Attack(lambda bundle: (bundle / ".git").mkdir(), "is a folder, and not that of a form"),
    "a form in upper case": Attack(renamed_form, "is not a file of a bundle"),
    "a file in upper case": Attack(holding("readme.MD", b"x"), "is not a file of a bundle"),
    "a name with another normalisation": Attack(holding("peft/ﬁle.json", b"{}"), "is not a file of a bundle"),
    "a form that the manifest does not name": Attack(
        lambda bundle: None, "forms: names native, merged", lambda manifest: manifest.update(forms=["native", "merged"])
    ),
    "a form without its configuration": Attack(lambda bundle: (bundle / ADAPTER).unlink(), "lacks peft/adapter_config"),
    "weights that no index names": Attack(
        lambda bundle: shutil.copy(bundle / MODEL, bundle / "merged/model-2.safetensors"), "and no index of them"
    ),
}
ATTACKS = {**PICKLES, **CODE, **BASES, **NUMBERS, **FORMATS, **FOLDERS}
