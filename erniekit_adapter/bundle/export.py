"""The export stage: from a trained adapter to a bundle. Each format is checked before the bundle gets its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from erniekit_adapter.architectures.families import DEFAULT_KIND, BundleFormat, kind_of_config
from erniekit_adapter.bundle.document_types import check_can_be_exported, write_document_type
from erniekit_adapter.bundle.formats import ExportSource, peft_readers, whole_model_order, write_formats
from erniekit_adapter.bundle.manifest import check_lora_config, manifest_content
from erniekit_adapter.bundle.metrics import adapter_fingerprint, describe, measured
from erniekit_adapter.bundle.verify import read_manifest, verify_files
from erniekit_adapter.errors import usage_error
from erniekit_adapter.file_checks.configs import base_name
from erniekit_adapter.files import explaining_full_disk, read_json, refuse_foreign_folder, writing_folder
from erniekit_adapter.layouts.adapter_files import read_native
from erniekit_adapter.layouts.base_files import list_weights, main_dtype
from erniekit_adapter.locks import using
from erniekit_adapter.merge.merge_checks import check_adapter_changes_something
from erniekit_adapter.parity.checks import check_parity, parity_lines, probe_requests
from erniekit_adapter.parity.readers import find_readers, refuse_unread
from erniekit_adapter.parity.reading import WrittenModels
from erniekit_adapter.project.made_for import TRAIN_AGAIN, refuse_other_type
from erniekit_adapter.project.model_folder import local_model_dir, model_fingerprint
from erniekit_adapter.project.run_records import read_training_manifest
from erniekit_adapter.project.schema import Project


def export(project: Project, console: Console, *, allow_unchecked: bool = False) -> dict[str, Any]:
    """Write the bundle of a trained project atomically, and return its manifest.

    Args:
        project: the trained project.
        console: for progress and the result of the parity check.
        allow_unchecked: also write formats without a reader on this machine; the manifest marks them as not checked.

    Raises:
        UsageError: no training is finished, it has no adapter, the base model was replaced, or it was trained with
            another document type.
        AdapterError: the adapter changes nothing, cannot be represented or does not match the base model, a file is
            missing, a format computes something else than the trained adapter, `verify` would refuse the bundle, or
            another stage uses the bundle or trains the run.
        UncheckedError: a format cannot be checked on this machine, and `allow_unchecked` is false.
    """
    locked = using("export", writes=[project.bundle_dir], reads=[project.training_dir], on_note=console.print)
    with locked, explaining_full_disk(project.output_dir):
        return _export(project, console, allow_unchecked=allow_unchecked)


def _export(project: Project, console: Console, *, allow_unchecked: bool) -> dict[str, Any]:
    refuse_foreign_folder(project.bundle_dir, "manifest.json")
    training, base_dir = finished_training(project.training_dir), local_model_dir(project)
    documents = project.documents
    refuse_other_type(project, training, project.training_dir, TRAIN_AGAIN)
    check_can_be_exported(documents)
    adapter_dir, name = project.training_dir / training["adapter"], base_name(project.model.model_name_or_path)
    source = checked_source(adapter_dir, base_dir, training["base_model"], name)
    backend, kind = training["toolkit"]["name"], kind_of_config(source.base_config) or DEFAULT_KIND
    formats = _formats(project.export.formats, backend, "formats" in project.export.model_fields_set, console)
    readers = find_readers(formats, backend, kind, base_dir, project.training.device)
    if not allow_unchecked:
        refuse_unread(readers.unread)
    degree = project.export.tensor_parallel_degree
    with (
        whole_model_order(source, degree, project.output_dir) as ordered,
        writing_folder(project.bundle_dir, alone=True) as bundle,
    ):
        checks = write_formats(ordered, formats, bundle, console)
        dtype = main_dtype(list_weights(base_dir))
        models = WrittenModels(bundle, ordered.adapter_dir, base_dir, dtype, base_is_hf=backend == "paddleformers")
        requests = probe_requests(project.data_dir / "test.jsonl")
        parity, unread = check_parity(formats, readers, models, requests, project.output_dir, console)
        if not allow_unchecked:
            refuse_unread(unread)
        adapter, lora_config = read_native(adapter_dir)
        fingerprint = adapter_fingerprint(adapter_dir)
        manifest = {
            **manifest_content(project.run_name, name, training, lora_config),
            "checks": {"lora_changes_the_base": True, **checks, "adapter_tensors": len(adapter)},
            "forms": formats,
            "readers": peft_readers(formats, kind),
            "proof": parity,
            "adapter": fingerprint,
            "document_type": documents.record,
            **_metrics(project.evaluation_dir / "results.json", fingerprint),
        }
        write_document_type(documents, bundle)
        describe(bundle, manifest, documents)
        verify_files(*read_manifest(bundle), python_rules=documents.python_rules)
    for line in parity_lines(parity):
        console.print(line)
    console.print(f"bundle: {project.bundle_dir}")
    return manifest


def checked_source(adapter_dir: Path, base_dir: Path, trained_on: str, name: str) -> ExportSource:
    """Check the adapter and its base model before an export.

    Args:
        adapter_dir: the adapter as the toolkit wrote it.
        base_dir: the base model.
        trained_on: fingerprint of the base model in the train stage.
        name: name of the base model in the bundle.

    Raises:
        UsageError: the base model was replaced.
        AdapterError: the adapter changes nothing, or a file is missing or damaged.
    """
    if model_fingerprint(base_dir) != trained_on:
        raise usage_error(base_dir, "is not the base model that was trained on", "restore that model, or train again")
    adapter, lora_config = read_native(adapter_dir)
    check_lora_config(lora_config, adapter_dir / "lora_config.json")
    check_adapter_changes_something(adapter)
    return ExportSource(adapter_dir, base_dir, read_json(base_dir / "config.json"), name)


def finished_training(training_dir: Path) -> dict[str, Any]:
    """Return the manifest of the train stage.

    Raises:
        UsageError: no training is finished, or it has no adapter.
        AdapterError: the manifest is damaged.
    """
    manifest = read_training_manifest(training_dir)
    if manifest is None:
        raise usage_error(training_dir, "has no finished training", "run erniekit-adapter train PROJECT first")
    if manifest["adapter"] is None:
        raise usage_error(
            "lora.enabled",
            "is false: all weights were trained, without an adapter to export",
            f"serve {training_dir / 'output'} itself",
        )
    return manifest


def _formats(formats: list[BundleFormat], backend: str, explicit: bool, console: Console) -> list[BundleFormat]:
    """Return the formats to write: those of the project, with merged-hf instead of merged for PaddleFormers."""
    if backend == "erniekit" or "merged" not in formats:
        return formats
    finding = "PaddleFormers trained this adapter, and its base model is in the layout of transformers"
    if explicit:
        raise usage_error("export.formats", f"merged is in ERNIEKit's layout: {finding}", "use merged-hf instead")
    console.print(f"merged-hf instead of merged: {finding}")
    return ["merged-hf" if each == "merged" else each for each in formats]


def _metrics(results_file: Path, adapter: str) -> dict[str, Any]:
    """Return the metrics of an earlier evaluation for the manifest, if it evaluated the same adapter."""
    results = read_json(results_file) if results_file.is_file() else {}
    return {"metrics": measured(results)} if results.get("adapter") == adapter else {}
