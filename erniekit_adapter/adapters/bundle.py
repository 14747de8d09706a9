"""The export stage: from a trained adapter to a bundle, each form checked before the bundle gets its name."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from erniekit_adapter import __version__
from erniekit_adapter.adapters.bundle_configs import base_name
from erniekit_adapter.adapters.layouts_base import Layout
from erniekit_adapter.adapters.measured import adapter_fingerprint, describe, measured
from erniekit_adapter.adapters.merge import merge, stored_dtype
from erniekit_adapter.adapters.merge_check import check_adapter_changes_something, check_hf_merge, check_merge
from erniekit_adapter.adapters.peft import READERS, Reader, read_base, read_native, write_peft
from erniekit_adapter.adapters.proving import Written, proof_lines, prove
from erniekit_adapter.adapters.readers import find_readers, refuse_unread
from erniekit_adapter.adapters.tensor_parallel import write_joined
from erniekit_adapter.adapters.verify import read_manifest, verify_files
from erniekit_adapter.errors import fail, misuse
from erniekit_adapter.files import explaining_full_disk, read_json, refuse_foreign_folder, write_json, writing_folder
from erniekit_adapter.locks import using
from erniekit_adapter.project.catalogue import Kind, kind_of_config
from erniekit_adapter.project.model_folder import local_model_dir, model_fingerprint
from erniekit_adapter.project.run_records import read_training_manifest
from erniekit_adapter.project.schema import Form, Project
from erniekit_adapter.temporary import temporary_folder

SCHEMA_VERSION = 1


def export(project: Project, console: Console, *, allow_unproven: bool = False) -> dict[str, Any]:
    """Write the bundle of a trained project, whole or not at all, and return its manifest.

    Args:
        project: what was trained.
        console: for progress, and the proof.
        allow_unproven: write forms that cannot be read here as well, and say of them that they were not checked.

    Raises:
        UsageError: nothing was trained yet, nothing that a bundle can hold, or the base model is another one now.
        AdapterError: the adapter changes nothing, cannot be represented, does not fit the base, a file is missing, a
            form computes something else than what was trained, `verify` would refuse the bundle, or another stage uses
            the bundle or trains the run.
        GateError: a form cannot be proven here, and that is not allowed.
    """
    held = using("export", writes=[project.bundle_dir], reads=[project.training_dir], on_note=console.print)
    with held, explaining_full_disk(project.output_dir):
        return _export(project, console, allow_unproven=allow_unproven)


def _export(project: Project, console: Console, *, allow_unproven: bool) -> dict[str, Any]:
    refuse_foreign_folder(project.bundle_dir, "manifest.json")
    training = trained(project)
    source, base_dir = project.training_dir / training["adapter"], local_model_dir(project)
    if model_fingerprint(base_dir) != training["base_model"]:
        raise misuse(base_dir, "is not the base model that was trained on", "put that one back, or train anew")
    adapter, lora_config = read_native(source)
    if missing := sorted(set(_LORA_KEYS.values()) - set(lora_config)):
        raise fail(source / "lora_config.json", f"lacks {', '.join(missing)}", "train anew with --restart")
    check_adapter_changes_something(adapter)
    backend, forms = training["toolkit"]["name"], _forms(project, training, console)
    base_config = read_json(base_dir / "config.json")
    kind = kind_of_config(base_config) or "dense"
    readers = find_readers(forms, backend, kind, base_dir, project.training.device)
    if not allow_unproven:
        refuse_unread(readers.unread)
    with (
        _in_whole_order(project, source, base_config) as ordered,
        writing_folder(project.bundle_dir, alone=True) as bundle,
    ):
        checks = _write_forms(project, forms, ordered, base_config, bundle, console)
        written = Written(bundle, ordered, base_dir, stored_dtype(base_dir), torch_base=backend == "paddleformers")
        proof, unread = prove(project, forms, readers, written, console)
        if not allow_unproven:
            refuse_unread(unread)
        manifest = _manifest(project, training, lora_config, {**checks, "adapter_tensors": len(adapter)})
        manifest |= {"forms": forms, "readers": _readers(forms, kind), "proof": proof}
        manifest["adapter"] = adapter_fingerprint(source)
        manifest |= _metrics(project, manifest["adapter"])
        describe(bundle, manifest)
        verify_files(*read_manifest(bundle))
    for line in proof_lines(proof):
        console.print(line)
    console.print(f"bundle: {project.bundle_dir}")
    return manifest


@contextmanager
def _in_whole_order(project: Project, source: Path, base_config: dict[str, Any]) -> Iterator[Path]:
    """The adapter itself, or a copy with its columns in the order of a whole model where the project says it has not.

    Raises:
        AdapterError: a mixture of experts, or a degree that cannot have cut this model.
    """
    degree = project.export.tensor_parallel_degree
    if degree is None:
        yield source
        return
    with temporary_folder(project.output_dir, "joined", alone=True) as folder:
        write_joined(source, base_config, degree, folder / "native")
        yield folder / "native"


def _write_forms(
    project: Project, forms: list[Form], source: Path, base_config: dict[str, Any], bundle: Path, console: Console
) -> dict[str, Any]:
    """Write each form into the bundle, and give what was checked of their numbers."""
    name, base_dir = base_name(project.model.model_name_or_path), local_model_dir(project)
    adapter, lora_config = read_native(source)
    checks: dict[str, Any] = {"lora_changes_the_base": True}
    if "native" in forms:
        _copy_native(source, bundle / "native", lora_config, name)
    if "peft" in forms:
        console.print("peft: splitting and transposing the adapter")
        write_peft(source, base_config, bundle / "peft", name)
    if "peft-v5" in forms:
        console.print("peft-v5: the same for transformers 5, which keeps experts together")
        if not write_peft(source, base_config, bundle / "peft-v5", name, reader="v5").endswith("experts"):
            raise misuse("export.forms", "peft-v5 is for mixtures of experts, and this is none", "take peft")
    if "merged" in forms:
        console.print("merged: base + adapter, shard by shard, then held against each other")
        _merge(base_dir, source, bundle / "merged", "paddle", console)
        weights, written = read_base(base_dir)[0], read_base(bundle / "merged")[0]
        checks["merge"] = asdict(check_merge(weights, adapter, lora_config, written))
    if "merged-hf" in forms:
        console.print("merged-hf: the same in the layout of transformers")
        _merge(base_dir, source, bundle / "merged-hf", "hugging-face", console)
        weights, written = read_base(base_dir)[0], read_base(bundle / "merged-hf")[0]
        checks["merge_hf"] = asdict(check_hf_merge(weights, adapter, lora_config, base_config, written))
    return checks


def _merge(base_dir: Path, source: Path, output: Path, layout: Layout, console: Console) -> None:
    with console.status(f"{output.name}: starting") as status:

        def show(written: int, total: int) -> None:
            status.update(f"{output.name}: {written / 2**20:,.0f} of {total / 2**20:,.0f} MiB written")

        report = merge(base_dir, source, output, layout, show)
    if left_out := report.files.without_keys:
        console.print(f"{output.name}: of the base model's settings these are left out: {', '.join(left_out)}")


def trained(project: Project) -> dict[str, Any]:
    """The manifest of the train stage.

    Raises:
        UsageError: training has not been finished, or trained no adapter.
        AdapterError: the manifest is damaged.
    """
    manifest = read_training_manifest(project.training_dir)
    if manifest is None:
        raise misuse(project.training_dir, "holds no finished training", "run make train first")
    if manifest["adapter"] is None:
        raise misuse(
            "lora.enabled",
            "found false: all weights were trained and there is no adapter to export",
            f"serve {project.training_dir / 'output'} itself",
        )
    return manifest


def _forms(project: Project, training: dict[str, Any], console: Console) -> list[Form]:
    """The forms to write: those that the project names, or all that can be made of what was trained."""
    forms = project.export.forms
    if training["toolkit"]["name"] == "erniekit" or "merged" not in forms:
        return forms
    what = "PaddleFormers trained this adapter, and its base model is in the layout of transformers"
    if "forms" in project.export.model_fields_set:
        raise misuse("export.forms", f"found merged, which is of ERNIEKit's layout: {what}", "take merged-hf")
    console.print(f"merged-hf instead of merged: {what}")
    return ["merged-hf" if form == "merged" else form for form in forms]


def _metrics(project: Project, adapter: str) -> dict[str, Any]:
    """What was measured of this very adapter, where it was evaluated before it is exported again."""
    path = project.evaluation_dir / "results.json"
    results = read_json(path) if path.is_file() else {}
    return {"metrics": measured(results)} if results.get("adapter") == adapter else {}


def _readers(forms: list[Form], kind: Kind) -> dict[str, str]:
    """What reads each PEFT form: of a mixture of experts the other one's reader would compute something else."""
    versions: dict[Form, Reader] = {"peft": "v4", "peft-v5": "v5"}
    return {form: READERS[kind, reader] for form, reader in versions.items() if form in forms}


def _copy_native(source: Path, target: Path, lora_config: dict[str, Any], base_name: str) -> None:
    """The toolkit's adapter without its pickles (`training_args.bin`), naming the base model, not a folder of ours."""
    target.mkdir()
    for file in sorted(source.glob("peft_model*")):
        if file.name.endswith((".safetensors", ".safetensors.index.json")):
            shutil.copyfile(file, target / file.name)
    write_json(target / "lora_config.json", {**lora_config, "base_model_name_or_path": base_name})


def _manifest(
    project: Project, training: dict[str, Any], lora_config: dict[str, Any], checks: dict[str, Any]
) -> dict[str, Any]:
    kept = ("toolkit", "steps", "first_loss", "last_loss", "last_eval_loss", "trainable_parameters")
    settings = {key: value for key, value in training["settings"].items() if key not in _FOLDERS}
    return {
        "schema_version": SCHEMA_VERSION,
        "made_by": f"erniekit-adapter {__version__}",
        "run_name": project.run_name,
        "base_model": {"name": base_name(project.model.model_name_or_path), "fingerprint": training["base_model"]},
        "data_fingerprint": training["data"],
        "lora": {key: lora_config[name] for key, name in _LORA_KEYS.items()},
        "training": {**{key: training[key] for key in kept}, "settings": settings},
        "checks": checks,
    }


_LORA_KEYS = {
    "rank": "r",
    "alpha": "lora_alpha",
    "rslora": "rslora",
    "dropout": "lora_dropout",
    "targets": "target_modules",
}


# Where things lay on the machine that trained; a bundle made elsewhere from the same inputs has the same bytes.
_FOLDERS = ("model_name_or_path", "lora_path")
