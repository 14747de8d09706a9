"""The merged form, through `erniekit export`, completed with what servers need and held against base + adapter."""

from __future__ import annotations

import shutil
from pathlib import Path

from erniekit_adapter.adapters.merge_check import MergeCheck, check_merge
from erniekit_adapter.adapters.peft import read_base, read_native
from erniekit_adapter.backends.erniekit import export_settings
from erniekit_adapter.backends.failures import cause_of_failure
from erniekit_adapter.backends.installed import find_erniekit
from erniekit_adapter.backends.process import run_logged
from erniekit_adapter.backends.settings import values
from erniekit_adapter.errors import AdapterError, Problem, fail
from erniekit_adapter.files import write_json

# What a server needs beside the weights, and what it also takes where the base model has it.
NEEDED_FILES = ("config.json", "tokenizer.model", "tokenizer_config.json")
OPTIONAL_FILES = (
    *("generation_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "tokenizer.json"),
)
STALL_S = 1800.0


def merge_with_erniekit(native: Path, base_dir: Path, output: Path, log: Path, device: str) -> MergeCheck:
    """Merge a native adapter into its base model and write the merged folder.

    Args:
        native: the adapter as ERNIEKit wrote it.
        base_dir: the base model.
        output: the folder to write, not there yet.
        log: what `erniekit export` prints.
        device: cpu or gpu.

    Raises:
        AdapterError: the base lacks a file that servers need, the toolkit failed, or the merge is wrong.
    """
    lacking = [name for name in NEEDED_FILES if not (base_dir / name).is_file()]
    if lacking:
        raise fail(base_dir, f"lacks {', '.join(lacking)}, which a server needs", "download the model again")
    work = output.with_name(".merging")
    shutil.copytree(native, work)
    _run_export(work, base_dir, log, device)
    (work / "export").rename(output)
    shutil.rmtree(work)
    # The merge's own notes name folders of this machine, and no server reads them.
    (output / "merge_config.json").unlink(missing_ok=True)
    for weights in output.glob("*.safetensors"):
        weights.chmod(0o644)
    for name in (*NEEDED_FILES, *OPTIONAL_FILES):
        if (base_dir / name).is_file():
            shutil.copyfile(base_dir / name, output / name)
    adapter, lora_config = read_native(native)
    merged, _ = read_base(output)
    base, _ = read_base(base_dir)
    return check_merge(base, adapter, lora_config, merged)


def _run_export(work: Path, base_dir: Path, log: Path, device: str) -> None:
    toolkit = find_erniekit()
    settings = export_settings(str(base_dir.resolve()), ".", device, toolkit.version)
    # ERNIEKit reads JSON as well as YAML, and JSON has one way to write a number.
    write_json(work / "export.json", values(settings))
    outcome = run_logged(
        toolkit.command("export", "export.json"),
        folder=work,
        environment=toolkit.environment(on_cpu=device == "cpu"),
        log=log,
        stall_s=STALL_S,
    )
    if outcome.exit_code != 0 or outcome.stalled:
        raise fail("erniekit export", cause_of_failure(outcome.last_lines), f"the whole log is {log}")
    if not list((work / "export").glob("*.safetensors")):
        raise AdapterError(Problem("erniekit export", "ended well and wrote no weights", f"the whole log is {log}"))
