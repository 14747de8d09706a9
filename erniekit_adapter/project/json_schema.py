"""The project file as a JSON schema, so that an editor completes keys, explains them and marks what is wrong.

`python -m erniekit_adapter.project.json_schema` writes it to `configs/project.schema.json`; the first line of every
project file there names it. It says less than loading does: rules between keys are for `check` alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from erniekit_adapter.files import write_json
from erniekit_adapter.project.catalogue import MODELS
from erniekit_adapter.project.schema import Project

SCHEMA_PATH = Path("configs/project.schema.json")
# The editors' language servers know this draft best; in it nothing may stand beside a $ref, so none is left.
_DRAFT = "http://json-schema.org/draft-07/schema#"

# For keys whose name says enough in code, and not enough in an editor.
_MEANINGS: Mapping[str, str] = {
    "model.model_name_or_path": "a folder written as a path (./models/mine), or a published id: docs/models.md",
    "lora.enabled": "false trains every weight",
    "lora.target_modules": "which projections get an adapter; all-linear: all seven",
    "lora.lora_dropout": "share of the adapter's inputs that a step leaves out",
    "training.num_train_epochs": "how often every line is read",
    "training.per_device_eval_batch_size": "ERNIEKit has one size for both: leave it out, or make it equal",
    "training.gradient_accumulation_steps": "forward and backward passes to an optimizer step",
    "training.learning_rate": "the highest of the run, at the end of the warmup",
    "training.lr_scheduler_type": "how the learning rate falls after the warmup",
    "training.warmup_steps": "optimizer steps in which the learning rate rises from zero",
    "training.weight_decay": "AdamW's",
    "training.max_grad_norm": "longer gradients are shortened to this norm",
    "training.logging_steps": "optimizer steps between two measurements of the training loss",
    "training.save_steps": "optimizer steps between two checkpoints: what an interruption costs at most",
    "training.eval_steps": "optimizer steps between two measurements of the evaluation loss",
    "training.save_total_limit": "checkpoints that are kept; all where it is not given",
    "training.fp16": "compute in float16 on a GPU",
    "training.seed": "of the order of lines and the adapter's first weights",
    "training.device": "on cpu training is in float32",
    "parallel.sharding_stage": "stage1 shares the optimizer's states, stage2 gradients too, stage3 weights too",
    "dpo.loss_type": "sigmoid is the loss of the DPO paper",
    "dpo.pref_loss_ratio": "weight of the preference loss",
    "dpo.simpo_gamma": "the margin of loss_type simpo",
    "dataset.path": "ready-made lines, from data_tools prepare",
    "data.gates": "what each gate does with a finding: docs/gates.md",
    "data.format": "of the lines: erniekit for text, erniekit-vl and paddleformers for models that see pages",
    "data.engine": "local processes, or a Ray cluster",
    "kind": "which reader the source needs: docs/data.md",
    "path": "relative to the folder the command runs in",
    "root": "where pages and answers are looked for after the folder of the file that names them",
    "images_dir": "where the manifest's pages are looked for after its own folder and root",
    "ground_truth_dir": "where the manifest's answers are looked for after its own folder and root",
    "output_dir": "where every stage writes: data/, training/, bundle/, evaluation/; one for each project file",
    "run_name": "in reports and in the toolkit's log",
    "export.forms": "what the bundle holds: the toolkit's own adapter, a PEFT adapter, merged weights: docs/export.md",
    "evaluate.max_samples": "test lines that are asked; all where it is not given",
    "evaluate.max_new_tokens": "where an answer that does not end is cut",
    "evaluate.batch_size": "requests that are answered together",
}


def project_schema() -> dict[str, Any]:
    """The JSON schema (draft 7) of a project file, every section spelt out in its place.

    Each key has its dotted name as title, a description, its default, and its limits. What a project file with a
    `preset` may leave out is required of every other.
    """
    whole = Project.model_json_schema()
    sections = whole.pop("$defs")
    schema: dict[str, Any] = _spelt_out(whole, sections)
    _describe(schema, "")
    schema["properties"]["model"]["properties"]["model_name_or_path"]["examples"] = [model.id for model in MODELS]
    schema |= {
        "$schema": _DRAFT,
        "title": "erniekit-adapter project file",
        "description": "One run: which model, trained how, on which documents. docs/configuration.md has all keys.",
        "if": {"properties": {"preset": {"type": "string"}}, "required": ["preset"]},
        "else": {"required": schema.pop("required")},
    }
    return schema


def _spelt_out(node: Any, sections: Mapping[str, Any]) -> Any:
    """A copy of a part of the schema without references and without words that only pydantic or OpenAPI knows."""
    if isinstance(node, list):
        return [_spelt_out(part, sections) for part in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        # A section's default says no more than those of its keys, and an editor would insert all of it.
        beside = {word: value for word, value in node.items() if word not in ("$ref", "default")}
        section = sections[node["$ref"].rpartition("/")[2]]
        return _spelt_out({**section, **beside}, sections)
    found = {word: _spelt_out(value, sections) for word, value in node.items() if word != "discriminator"}
    if found.get("format") == "path" and found.get("type") == "string":
        del found["format"]
    if "off" in found.get("enum", ()):
        # YAML 1.1 reads a bare off as false, and loading takes it back.
        found["enum"].append(False)
        del found["type"]
    return found


def _describe(section: dict[str, Any], name: str) -> None:
    """Give each key below a section its dotted name as title, and a description where it has none yet."""
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
