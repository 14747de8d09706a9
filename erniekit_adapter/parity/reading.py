"""Run the readers of a parity check: models and adapters, the same requests, arrays of logits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from rich.console import Console

from erniekit_adapter.architectures.families import BundleFormat
from erniekit_adapter.backends.processes.failures import description_of_failure
from erniekit_adapter.backends.processes.process import run_logged
from erniekit_adapter.errors import AdapterError, Problem
from erniekit_adapter.files import write_bytes
from erniekit_adapter.merge.merging import write_hf_base
from erniekit_adapter.parity.comparison import Arrays
from erniekit_adapter.parity.readers import Environment, Readers
from erniekit_adapter.predictors.toolkit import STALL_S
from erniekit_adapter.tensor_files import TorchDtype

NEW_TOKENS = 16
LOG = "parity-check.log"
BASE = "base"
_ADAPTERS: tuple[BundleFormat, ...] = ("native", "peft", "peft-v5")


@dataclass(frozen=True)
class WrittenModels:
    """Folders and types of the models to read.

    Attributes:
        bundle: the folder with the formats, before its rename.
        adapter_dir: the adapter as the toolkit wrote it.
        base_dir: the base model.
        stored: the type of the base model's weights, which merged weights have too.
        base_is_hf: whether the base model is in the layout of transformers.
    """

    bundle: Path
    adapter_dir: Path
    base_dir: Path
    stored: TorchDtype
    base_is_hf: bool


@dataclass(frozen=True)
class Reading:
    """Logits of one model, with or without an adapter, in one environment.

    Attributes:
        name: a bundle format, or `base`.
        environment: the reader's environment.
        path: the file with the arrays.
    """

    name: str
    environment: Environment
    path: Path

    def load(self) -> Arrays:
        """Return the arrays, see `workers.probes.read_all`."""
        with np.load(self.path) as arrays:
            return dict(arrays)


def read_in_environment(
    environment: Environment,
    readers: Readers,
    models: WrittenModels,
    requests: list[str],
    folder: Path,
    sequences: Path | None,
    console: Console,
) -> tuple[list[Reading], str]:
    """Read all formats of one environment, and the base model.

    Args:
        environment: the environment.
        readers: all readers, with their formats.
        models: the models to read.
        requests: prompts.
        folder: a temporary folder for converted models, arrays and the log.
        sequences: arrays of the reference, whose tokens are read again; None for the reference itself.
        console: for progress.

    Returns:
        The readings, and why the process ended early; empty if it did not.

    Raises:
        AdapterError: the reader found an unmatched or missing tensor.
    """
    base = models.base_dir
    if not environment.toolkit and not models.base_is_hf:
        base = folder / "base"
        if not base.exists():
            console.print("parity check: converting a temporary copy of the base model to the layout of transformers")
            write_hf_base(models.base_dir, base)
    formats = readers.formats_of(environment)
    cases = [_case(each, base, models) for each in sorted(formats, key=lambda each: each != "native")]
    cases.append({"name": BASE, "model": str(base.resolve()), "adapter": None})
    if environment.toolkit:
        cases = [_with_links(case, folder / "links") for case in cases]
    plan = {
        "cases": cases,
        "requests": requests,
        "new_tokens": NEW_TOKENS,
        "device": readers.device,
        "sequences": str(sequences) if sequences else None,
    }
    output = folder / ("toolkit" if environment.toolkit else environment.name)
    output.mkdir()
    write_bytes(output / "plan.json", orjson.dumps(plan))
    done, ended_early = _run(environment, output, folder / LOG, len(cases), console)
    return [Reading(name, environment, output / f"{name}.npz") for name in done], ended_early


def _run(environment: Environment, output: Path, log: Path, cases: int, console: Console) -> tuple[list[str], str]:
    """Run the reader's process.

    Returns:
        Names of the cases that were read, and why the process ended early.
    """
    refused: list[Problem] = []
    done: list[str] = []
    with console.status(f"parity check: {environment.name} is starting") as status:

        def follow(line: str) -> None:
            if line.startswith('{"case"'):
                result = orjson.loads(line)
                done.append(result["case"])
                if "refused" in result:
                    finding = f"{environment.name} refuses it: {result['refused']}"
                    refused.append(Problem(f"format {result['case']}", finding))
                status.update(f"parity check: {environment.name} has read {len(done)} of {cases} models")

        outcome = run_logged(
            [*environment.command, "--plan", str(output / "plan.json"), "--output", str(output)],
            folder=output,
            environment=environment.variables,
            log=log,
            on_line=follow,
            stall_s=STALL_S,
        )
    if refused:
        raise AdapterError(refused)
    return done, "" if outcome.exit_code == 0 else description_of_failure(outcome)


def _case(bundle_format: BundleFormat, base: Path, models: WrittenModels) -> dict[str, str | None]:
    folder = models.bundle / bundle_format
    if bundle_format not in _ADAPTERS:
        return {"name": bundle_format, "model": str(folder.resolve()), "adapter": None}
    # The reference is read even if the bundle does not contain the format native.
    adapter = folder if folder.is_dir() else models.adapter_dir
    return {"name": bundle_format, "model": str(base.resolve()), "adapter": str(adapter.resolve())}


def _with_links(case: Mapping[str, str | None], folder: Path) -> dict[str, str | None]:
    """Return the case with folders of links: PaddleFormers writes a pickle into each folder that it reads.

    Args:
        case: see `_case`.
        folder: the parent of the folders with links, one for each folder of the case.
    """
    linked = dict(case)
    for key in ("model", "adapter"):
        if source := case[key]:
            target = folder / hashlib.sha256(source.encode()).hexdigest()[:16]
            if not target.exists():
                target.mkdir(parents=True)
                for path in Path(source).iterdir():
                    if not path.name.endswith(".metadata"):
                        (target / path.name).symlink_to(path)
            linked[key] = str(target)
    return linked
