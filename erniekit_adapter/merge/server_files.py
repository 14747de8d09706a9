"""Files that a server needs beside the weights of a merged model, made from the base model's files.

If the weights keep the base model's layout, the files are copied byte for byte: a server that loads the base model
loads the merged model. If ERNIEKit's layout is converted to Hugging Face's, config and tokenizer are written for
transformers. The `config.json` of a training run is not used: it has more keys, and FastDeploy refuses it (its issue
5525). If a training run's result is the base model, these keys are removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from erniekit_adapter.errors import AdapterError, Problem, failure
from erniekit_adapter.file_checks.configs import without_unsafe_keys
from erniekit_adapter.file_checks.content import MODEL_FILES, check_content
from erniekit_adapter.files import read_bytes
from erniekit_adapter.layouts.hugging_face_files import hf_config, hf_tokenizer_config

NEEDED = ("config.json", "tokenizer_config.json")
# One of them is enough: each has all token ids.
TOKENIZERS = ("tokenizer.model", "tokenizer.json")
OPTIONAL = (
    *("generation_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "chat_template.json"),
    *("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"),
)
# Keys that a training run adds to config.json and that servers do not need: the first four are from FastDeploy's issue
# 5525, the others are in the output of a LoRA run of PaddleFormers 1.2.0 and not in its base model.
TRAINING_ONLY = (
    *("disable_pipeline_warmup", "enable_mtp_magic_send", "fp16_opt_level", "moe_multimodal_dispatch_use_allgather"),
    *("enable_auto_parallel", "is_lora", "tensor_model_parallel_size"),
)
# Their keys are pieces of the vocabulary.
_NOT_SETTINGS = ("tokenizer.json", "added_tokens.json")
_MAX_FILE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class ServerFiles:
    """Files beside the weights.

    Attributes:
        contents: name and bytes of each file.
        missing: optional parts that servers can use and the base model does not have.
        removed_keys: keys of the base model's files that were removed: those of a training run in config.json, and
            those that name code, files or servers, with the file's name before them.
    """

    contents: Mapping[str, bytes]
    missing: tuple[str, ...]
    removed_keys: tuple[str, ...]


def server_files(base_dir: Path, torch_dtype: str | None = None) -> ServerFiles:
    """Return the files to write beside merged weights.

    Args:
        base_dir: the base model.
        torch_dtype: type of the weights for config.json, if they are converted from ERNIEKit's layout to Hugging
            Face's; None if they keep the base model's layout.

    Raises:
        AdapterError: a file that a server needs is missing or damaged, tokenizer_config.json has no tokenizer_class,
            or a file may not be in a bundle; all problems at once.
    """
    if problems := list(_missing(base_dir)):
        raise AdapterError(problems)
    found = {name: read_bytes(base_dir / name, _MAX_FILE_BYTES) for name in _present(base_dir)}
    config, tokenizer = (_object(base_dir / name, found[name]) for name in NEEDED)
    if not tokenizer.get("tokenizer_class"):
        hint = "download the model again; the output of a training run often lacks it"
        raise failure(base_dir / "tokenizer_config.json", "has no tokenizer_class, which servers need", hint)
    removed_keys = tuple(key for key in TRAINING_ONLY if key in config)
    if torch_dtype is None:
        kept = {key: value for key, value in config.items() if key not in removed_keys}
        contents = found | {"config.json": _json(kept)} if removed_keys else found
    else:
        contents = _hugging_face(base_dir, found, config, tokenizer, torch_dtype)
    contents, unsafe = _safe(base_dir, contents)
    return ServerFiles(contents, tuple(_missing_parts(contents, tokenizer)), (*removed_keys, *unsafe))


def _safe(base_dir: Path, contents: Mapping[str, bytes]) -> tuple[dict[str, bytes], list[str]]:
    """Remove the keys that a bundle may not have, and return the files and these keys.

    Raises:
        AdapterError: a file may still not be in a bundle; all problems at once.
    """
    safe, removed, problems = dict(contents), [], []
    for name in (name for name in contents if name.endswith(".json") and name not in _NOT_SETTINGS):
        kept, keys = without_unsafe_keys(_object(base_dir / name, contents[name]))
        if keys:
            safe[name] = _json(kept)
            removed += [f"{name} {key}" for key in keys]
    for name, content in safe.items():
        found, _ = check_content(str(base_dir / name), name, MODEL_FILES[name], content)
        problems += [Problem(each.location, each.finding, "download the model again") for each in found]
    if problems:
        raise AdapterError(problems)
    return safe, removed


def _hugging_face(
    base_dir: Path, found: Mapping[str, bytes], config: dict[str, Any], tokenizer: dict[str, Any], torch_dtype: str
) -> dict[str, bytes]:
    settings = hf_config(config, torch_dtype)
    token_ids = {key: settings[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    existing = found.get("generation_config.json")
    generation = _object(base_dir / "generation_config.json", existing) if existing else {"do_sample": False}
    # The tokenizer's other files only repeat the content of these files.
    same = (*TOKENIZERS, "chat_template.jinja")
    return {
        "config.json": _json(settings),
        "generation_config.json": _json({**token_ids, **generation}),
        "tokenizer_config.json": _json(hf_tokenizer_config(tokenizer, fast="tokenizer.json" in found)),
        **{name: found[name] for name in same if name in found},
    }


def _present(base_dir: Path) -> Iterator[str]:
    # No `.py` files: a bundle contains data only, and keys that name code are removed too.
    yield from (name for name in (*NEEDED, *TOKENIZERS, *OPTIONAL) if (base_dir / name).is_file())


def _missing(base_dir: Path) -> Iterator[Problem]:
    hint = "download the model again"
    for name in NEEDED:
        if not (base_dir / name).is_file():
            yield Problem(str(base_dir / name), "missing, but a server needs it", hint)
    if not any((base_dir / name).is_file() for name in TOKENIZERS):
        yield Problem(str(base_dir), f"has neither {' nor '.join(TOKENIZERS)}, but a server needs one", hint)


def _missing_parts(contents: Mapping[str, bytes], tokenizer: Mapping[str, Any]) -> Iterator[str]:
    if not (tokenizer.get("chat_template") or {"chat_template.jinja", "chat_template.json"} & contents.keys()):
        yield "a chat template"
    yield from (name for name in ("tokenizer.json", "generation_config.json") if name not in contents)


def _object(path: Path, content: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise failure(path, f"not JSON: {error}", "download the model again") from error
    if not isinstance(value, dict):
        raise failure(path, "is not an object", "download the model again")
    return value


def _json(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
