"""Write the formats of a bundle: native, peft, peft-v5, merged and merged-hf."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from erniekit_adapter.architectures.families import BundleFormat, Kind, family_of
from erniekit_adapter.errors import usage_error
from erniekit_adapter.files import write_json
from erniekit_adapter.layouts.adapter_files import read_native, write_peft
from erniekit_adapter.layouts.base_files import read_weights
from erniekit_adapter.layouts.base_model import Layout
from erniekit_adapter.layouts.tensor_parallel import write_joined
from erniekit_adapter.merge.merge_checks import MergeCheck, check_hf_merge, check_merge
from erniekit_adapter.merge.merging import merge
from erniekit_adapter.temporary import temporary_folder


@dataclass(frozen=True)
class ExportSource:
    """Adapter and base model of an export.

    Attributes:
        adapter_dir: the adapter as the toolkit wrote it.
        base_dir: the base model.
        base_config: content of the base model's config.json.
        base_name: name of the base model in the bundle.
    """

    adapter_dir: Path
    base_dir: Path
    base_config: dict[str, Any]
    base_name: str


@contextmanager
def whole_model_order(source: ExportSource, degree: int | None, output_dir: Path) -> Iterator[ExportSource]:
    """Yield an adapter whose columns have the order of a whole model.

    Args:
        source: the adapter and its base model.
        degree: the tensor-parallel degree of the run, see `layouts.tensor_parallel`; None if the order is right.
        output_dir: folder for a temporary copy.

    Raises:
        AdapterError: the model has experts, or the degree does not divide its sizes.
    """
    if degree is None:
        yield source
        return
    with temporary_folder(output_dir, "joined", alone=True) as folder:
        write_joined(source.adapter_dir, source.base_config, degree, folder / "native")
        yield replace(source, adapter_dir=folder / "native")


def write_formats(source: ExportSource, formats: list[BundleFormat], bundle: Path, console: Console) -> dict[str, Any]:
    """Write the formats into a bundle's folder.

    Returns:
        Results of the checks of merged weights, for the manifest.

    Raises:
        AdapterError: the adapter cannot be represented in a format, or does not match the base model.
        UsageError: peft-v5 is requested for a model without experts.
    """
    adapter_dir, name = source.adapter_dir, source.base_name
    checks: dict[str, Any] = {}
    if "native" in formats:
        _copy_native(adapter_dir, bundle / "native", name)
    if "peft" in formats:
        console.print("peft: splitting and transposing the adapter")
        write_peft(adapter_dir, source.base_config, bundle / "peft", name)
    if "peft-v5" in formats:
        console.print("peft-v5: stacking the experts for transformers 5")
        layout = write_peft(adapter_dir, source.base_config, bundle / "peft-v5", name, reader="v5")
        if not layout.endswith("experts"):
            raise usage_error("export.formats", "peft-v5 requires a mixture of experts", "use peft instead")
    if "merged" in formats:
        console.print("merged: merging the adapter into the base model, then checking the result")
        checks["merge"] = asdict(_merge(source, bundle / "merged", "paddle", console))
    if "merged-hf" in formats:
        console.print("merged-hf: merging in the layout of transformers, then checking the result")
        checks["merge_hf"] = asdict(_merge(source, bundle / "merged-hf", "hugging-face", console))
    return checks


def _merge(source: ExportSource, output: Path, layout: Layout, console: Console) -> MergeCheck:
    with console.status(f"{output.name}: starting") as status:

        def show(written: int, total: int) -> None:
            status.update(f"{output.name}: {written / 2**20:,.0f} of {total / 2**20:,.0f} MiB written")

        report = merge(source.base_dir, source.adapter_dir, output, layout, show)
    if removed := report.files.removed_keys:
        console.print(f"{output.name}: these settings of the base model were removed: {', '.join(removed)}")
    if missing := report.files.missing:
        console.print(f"{output.name}: servers can also use {', '.join(missing)}, missing in the base model")
    adapter, lora_config = read_native(source.adapter_dir)
    base, merged = read_weights(source.base_dir), read_weights(output)
    if layout == "paddle":
        return check_merge(base, adapter, lora_config, merged)
    return check_hf_merge(base, adapter, lora_config, source.base_config, merged)


def _copy_native(source: Path, target: Path, base_name: str) -> None:
    """Copy the toolkit's adapter without its pickles (`training_args.bin`), and with the bundle's name of the base."""
    target.mkdir()
    for file in sorted(source.glob("peft_model*")):
        if file.name.endswith((".safetensors", ".safetensors.index.json")):
            shutil.copyfile(file, target / file.name)
    lora_config = read_native(source)[1]
    write_json(target / "lora_config.json", {**lora_config, "base_model_name_or_path": base_name})


def peft_readers(formats: list[BundleFormat], kind: Kind) -> dict[str, str]:
    """Return the software that reads each PEFT format. Other software would compute something else with experts."""
    readers = family_of(kind).peft_readers
    return {name: readers[name] for name in ("peft", "peft-v5") if name in formats}
