"""The JSON schema of a project file, with which editors complete keys, explain them and mark errors.

`python -m erniekit_adapter.project.json_schema` writes it to `configs/project.schema.json`; the first line of every
project file there names it. Rules between keys are not in it; `check` applies them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from erniekit_adapter.architectures.models import MODELS
from erniekit_adapter.files import write_json
from erniekit_adapter.project.schema import Project

SCHEMA_PATH = Path("configs/project.schema.json")
# Language servers support this draft best. It ignores keywords beside a $ref, so every $ref is replaced.
_DRAFT = "http://json-schema.org/draft-07/schema#"

# Descriptions of keys whose field in the schema has none.
_MEANINGS: Mapping[str, str] = {
    "model.model_name_or_path": "a folder written as a path (./models/mine), or a published id: docs/models.md",
    "lora.enabled": "false: train every weight",
    "lora.target_modules": "linear layers with an adapter; all-linear: all of them",
    "lora.lora_dropout": "dropout of the adapter's inputs",
    "training.num_train_epochs": "passes over the training examples",
    "training.per_device_eval_batch_size": "ERNIEKit has one batch size: omit this key, or make both equal",
    "training.gradient_accumulation_steps": "forward and backward passes per optimizer step",
    "training.learning_rate": "peak learning rate, at the end of the warmup",
    "training.lr_scheduler_type": "course of the learning rate after the warmup",
    "training.warmup_steps": "optimizer steps of linear warmup from 0",
    "training.weight_decay": "weight decay of AdamW",
    "training.max_grad_norm": "gradients are clipped to this norm",
    "training.logging_steps": "optimizer steps between logged training losses",
    "training.save_steps": "optimizer steps between checkpoints; an interruption loses at most this many",
    "training.eval_steps": "optimizer steps between evaluations",
    "training.save_total_limit": "checkpoints to keep; default: all",
    "training.fp16": "compute in float16 on a GPU",
    "training.seed": "seed of the order of training examples and of the initial adapter weights",
    "training.device": "cpu trains in float32",
    "parallel.sharding_stage": "stage1 shares optimizer states, stage2 also gradients, stage3 also weights",
    "dpo.loss_type": "sigmoid is the loss of the DPO paper",
    "dpo.pref_loss_ratio": "weight of the preference loss",
    "dpo.simpo_gamma": "margin of loss_type simpo",
    "dataset.path": "ready-made training examples, from erniekit-adapter data prepare",
    "data.filters": "effect of each filter: docs/filters.md",
    "data.format": "format of the training examples: erniekit for text; erniekit-vl and paddleformers for images",
    "data.runner": "local processes, or a Ray cluster",
    "kind": "kind of the source: docs/data.md",
    "path": "relative to the working directory",
    "root": "folder of pages and answers, searched after the folder of the file that names them",
    "images_dir": "folder of pages, searched after the manifest's folder and root",
    "ground_truth_dir": "folder of answers, searched after the manifest's folder and root",
    "output_dir": "output folder of all stages: data/, training/, bundle/, evaluation/; one per project file",
    "run_name": "name in reports and in the toolkit's log",
    "export.formats": "bundle formats: the toolkit's adapter, a PEFT adapter, merged weights: docs/export.md",
    "evaluate.max_samples": "test examples to evaluate; default: all",
    "evaluate.max_new_tokens": "most tokens of an answer",
    "evaluate.batch_size": "requests per batch",
}


def project_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 7) of a project file, with every $ref replaced.

    Each key has its dotted name as title, a description, its default and its limits. Required keys are required only
    without a `preset`.
    """
    whole = Project.model_json_schema()
    sections = whole.pop("$defs")
    schema: dict[str, Any] = _without_references(whole, sections)
    _describe(schema, "")
    schema["properties"]["model"]["properties"]["model_name_or_path"]["examples"] = [model.id for model in MODELS]
    schema |= {
        "$schema": _DRAFT,
        "title": "erniekit-adapter project file",
        "description": "Settings of a run: model, training, documents. See docs/configuration.md.",
        "if": {"properties": {"preset": {"type": "string"}}, "required": ["preset"]},
        "else": {"required": schema.pop("required")},
    }
    return schema


def _without_references(node: Any, sections: Mapping[str, Any]) -> Any:
    """Return a copy of a part of the schema, without references and without keywords of pydantic or OpenAPI."""
    if isinstance(node, list):
        return [_without_references(part, sections) for part in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        # Keys have their own defaults; an editor would insert the default of a whole section.
        beside = {word: value for word, value in node.items() if word not in ("$ref", "default")}
        section = sections[node["$ref"].rpartition("/")[2]]
        return _without_references({**section, **beside}, sections)
    found = {word: _without_references(value, sections) for word, value in node.items() if word != "discriminator"}
    if found.get("format") == "path" and found.get("type") == "string":
        del found["format"]
    if "off" in found.get("enum", ()):
        # YAML 1.1 parses a bare off as false, and loading accepts it.
        found["enum"].append(False)
        del found["type"]
    return found


def _describe(section: dict[str, Any], name: str) -> None:
    """Set the title of each key below a section to its dotted name, and its description if it has none."""
    for key, part in section["properties"].items():
        dotted = f"{name}.{key}".removeprefix(".")
        part["title"] = dotted
        if meaning := part.get("description") or _MEANINGS.get(dotted):
            part["description"] = meaning
        for source in part.get("items", {}).get("oneOf", ()):
            _describe(source, "")
            source["title"] = source["properties"]["kind"]["const"]
        if "properties" in part:
            _describe(part, dotted)


if __name__ == "__main__":
    write_json(SCHEMA_PATH, project_schema())
