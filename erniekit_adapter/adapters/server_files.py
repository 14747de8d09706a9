"""What a server needs beside the weights of a merged model, taken from the base model's folder.

Where the weights keep the base model's layout everything is its own, byte for byte: a server that takes the base takes
the merge. Where ERNIEKit's layout becomes Hugging Face's, config and tokenizer are said for transformers. A training
run's `config.json` is never used, since it says more than a model's, and FastDeploy refuses it (its issue 5525). Where
somebody made a training run's result the base model, the keys that only a run knows are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from erniekit_adapter.adapters.bundle_configs import without_unsafe_keys
from erniekit_adapter.adapters.bundle_content import check_content
from erniekit_adapter.adapters.hugging_face_files import hf_config, hf_tokenizer_config
from erniekit_adapter.errors import AdapterError, Problem, fail
from erniekit_adapter.files import read_bytes

NEEDED = ("config.json", "tokenizer_config.json")
# One of the two: each says all token ids.
TOKENIZERS = ("tokenizer.model", "tokenizer.json")
OPTIONAL = (
    *("generation_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "chat_template.json"),
    *("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json"),
)
# What a run adds to config.json and no server needs: the first four from FastDeploy's issue 5525, the others seen in
# the folder that PaddleFormers 1.2.0 wrote for a LoRA run, against its base.
TRAINING_ONLY = (
    *("disable_pipeline_warmup", "enable_mtp_magic_send", "fp16_opt_level", "moe_multimodal_dispatch_use_allgather"),
    *("enable_auto_parallel", "is_lora", "tensor_model_parallel_size"),
)
# A vocabulary's keys are its pieces.
_NOT_SETTINGS = ("tokenizer.json", "added_tokens.json")
_MAX_FILE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class ServerFiles:
    """The files that stand beside the weights.

    Attributes:
        contents: name and bytes of each.
        lacking: what servers can use and the base model does not have.
        without_keys: keys of the base's files that are left out: those of config.json that only a training run knows,
            and those that name code, files or servers, with the file's name before them.
    """

    contents: Mapping[str, bytes]
    lacking: tuple[str, ...]
    without_keys: tuple[str, ...]


def server_files(base_dir: Path, torch_dtype: str | None = None) -> ServerFiles:
    """What to write beside merged weights.

    Args:
        base_dir: the base model.
        torch_dtype: where the weights were turned from ERNIEKit's layout into Hugging Face's, their type as
            transformers names it, which config.json then says; None where they keep the base's layout.

    Raises:
        AdapterError: a file that a server needs is missing or damaged, tokenizer_config.json names no
            tokenizer_class, or a file cannot be in a bundle; all problems at once.
    """
    if problems := list(_missing(base_dir)):
        raise AdapterError(problems)
    found = {name: read_bytes(base_dir / name, _MAX_FILE_BYTES) for name in _present(base_dir)}
    config, tokenizer = (_object(base_dir / name, found[name]) for name in NEEDED)
    if not tokenizer.get("tokenizer_class"):
        remedy = "download the model again; a result of training often lacks it"
        raise fail(base_dir / "tokenizer_config.json", "names no tokenizer_class, which servers ask for", remedy)
    without_keys = tuple(key for key in TRAINING_ONLY if key in config)
    if torch_dtype is None:
        kept = {key: value for key, value in config.items() if key not in without_keys}
        contents = found | {"config.json": _json(kept)} if without_keys else found
    else:
        contents = _hugging_face(base_dir, found, config, tokenizer, torch_dtype)
    contents, unsafe = _safe(base_dir, contents)
    return ServerFiles(contents, tuple(_lacking(contents, tokenizer)), (*without_keys, *unsafe))


def _safe(base_dir: Path, contents: Mapping[str, bytes]) -> tuple[dict[str, bytes], list[str]]:
    """Leave out the keys that a bundle may not have, and return the files and these keys.

    Raises:
        AdapterError: a file cannot be in a bundle even so; all problems at once.
    """
    safe, left_out, problems = dict(contents), [], []
    for name in (name for name in contents if name.endswith(".json") and name not in _NOT_SETTINGS):
        kept, keys = without_unsafe_keys(_object(base_dir / name, contents[name]))
        if keys:
            safe[name] = _json(kept)
            left_out += [f"{name} {key}" for key in keys]
    for name, content in safe.items():
        found, _ = check_content(str(base_dir / name), f"merged/{name}", content)
        problems += [Problem(each.where, each.what, "download the model again") for each in found]
    if problems:
        raise AdapterError(problems)
    return safe, left_out


def _hugging_face(
    base_dir: Path, found: Mapping[str, bytes], config: dict[str, Any], tokenizer: dict[str, Any], torch_dtype: str
) -> dict[str, bytes]:
    settings = hf_config(config, torch_dtype)
    ends = {key: settings[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    own = found.get("generation_config.json")
    generation = _object(base_dir / "generation_config.json", own) if own else {"do_sample": False}
    # Files of the tokenizer that hf_tokenizer_config and the tokenizer itself say already are not among these.
    same = (*TOKENIZERS, "chat_template.jinja")
    return {
        "config.json": _json(settings),
        "generation_config.json": _json({**ends, **generation}),
        "tokenizer_config.json": _json(hf_tokenizer_config(tokenizer, fast="tokenizer.json" in found)),
        **{name: found[name] for name in same if name in found},
    }


def _present(base_dir: Path) -> Iterator[str]:
    # No `.py` file: a bundle holds data alone, and keys that name code are left out as well.
    yield from (name for name in (*NEEDED, *TOKENIZERS, *OPTIONAL) if (base_dir / name).is_file())


def _missing(base_dir: Path) -> Iterator[Problem]:
    remedy = "download the model again"
    for name in NEEDED:
        if not (base_dir / name).is_file():
            yield Problem(str(base_dir / name), "missing, and a server needs it", remedy)
    if not any((base_dir / name).is_file() for name in TOKENIZERS):
        yield Problem(str(base_dir), f"has neither {' nor '.join(TOKENIZERS)}, and a server needs one", remedy)


def _lacking(contents: Mapping[str, bytes], tokenizer: Mapping[str, Any]) -> Iterator[str]:
    if not (tokenizer.get("chat_template") or {"chat_template.jinja", "chat_template.json"} & contents.keys()):
        yield "a chat template"
    yield from (name for name in ("tokenizer.json", "generation_config.json") if name not in contents)


def _object(path: Path, content: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise fail(path, f"not JSON: {error}", "download the model again") from error
    if not isinstance(value, dict):
        raise fail(path, "is not an object", "download the model again")
    return value


def _json(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
