"""Who reads which form of a bundle for its proof, and why nobody can: worked out before anything is written."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from erniekit_adapter.adapters.merge import list_model
from erniekit_adapter.backends.hugging_face import Transformers, find_transformers, setup_remedy
from erniekit_adapter.backends.installed import looked_at
from erniekit_adapter.backends.keytable import TOOLKIT_NAMES
from erniekit_adapter.errors import GateError, Problem
from erniekit_adapter.project.catalogue import Kind
from erniekit_adapter.project.schema import Form
from erniekit_adapter.project.toolkit_sections import Backend
from erniekit_adapter.tensor_files import ITEM_BYTES

# What reading a model in float32 takes beside its weights: one tensor twice while it loads, and the logits.
_OVERHEAD = 1.3


@dataclass(frozen=True)
class Environment:
    """Where models are read.

    Attributes:
        name: what it is called in reports: `ERNIEKit 1.0.1`.
        command: the worker's command line, without its options.
        variables: the variables that it runs with.
        toolkit: whether it is the one that trained.
    """

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str]
    toolkit: bool


@dataclass(frozen=True)
class Unread:
    """Why a form is not read, and what would change that."""

    reason: str
    remedy: str = ""


@dataclass(frozen=True)
class Readers:
    """Who reads what.

    Attributes:
        environments: by form; `native` is among them wherever the toolkit can be asked, as it is the reference.
        unread: the forms that nothing reads.
        device: cpu or gpu.
    """

    environments: Mapping[Form, Environment]
    unread: Mapping[Form, Unread]
    device: str


def find_readers(forms: list[Form], backend: Backend, kind: Kind, base_dir: Path, device: str) -> Readers:
    """Find what can read each form on this machine.

    Args:
        forms: the forms of the bundle.
        backend: the toolkit that trained.
        kind: the base model's kind.
        base_dir: its folder; its size decides whether memory is enough.
        device: what the project trains on; without a driver for GPUs here, the CPU reads.
    """
    device = "gpu" if device == "gpu" and shutil.which("nvidia-smi") else "cpu"
    toolkit = _toolkit(backend, kind, device)
    torch: dict[tuple[int, ...], Environment | Unread] = {}
    environments: dict[Form, Environment] = {}
    unread: dict[Form, Unread] = {}
    too_large = _too_large(base_dir) if device == "cpu" else None
    reference: list[Form] = [] if "native" in forms else ["native"]
    for form in forms + reference:
        majors = majors_that_read(form, kind)
        if majors and majors not in torch:
            torch[majors] = _transformers(majors)
        found = too_large or (torch[majors] if majors else toolkit)
        if isinstance(found, Environment):
            environments[form] = found
        elif form in forms:
            unread[form] = found
    return Readers(environments, unread, device)


# The major versions of transformers that read a form; native and merged are the toolkit's own.
_MAJORS_OF_ALL: Mapping[Form, tuple[int, ...]] = {"peft": (4, 5), "peft-v5": (5,), "merged-hf": (4, 5)}
_MAJORS: Mapping[tuple[Form, Kind], tuple[int, ...]] = {
    ("peft", "moe"): (4,),
    ("peft", "ocr-vl"): (5,),
    ("merged-hf", "ocr-vl"): (5,),
}


def majors_that_read(form: Form, kind: Kind) -> tuple[int, ...]:
    """The major versions of transformers that read a form; none for the toolkit's own."""
    return _MAJORS.get((form, kind), _MAJORS_OF_ALL.get(form, ()))


def refuse_unread(unread: Mapping[Form, Unread]) -> None:
    """End an export of which some form cannot be proven, and nobody said that this is fine.

    Raises:
        GateError: with each form, the reason and the remedy.
    """
    accept = "accept it with --allow-unproven"
    problems = [
        Problem(f"form {form}", f"not checked: {each.reason}", f"{each.remedy}, or {accept}" if each.remedy else accept)
        for form, each in unread.items()
    ]
    if problems:
        raise GateError(problems)


def _toolkit(backend: Backend, kind: Kind, device: str) -> Environment | Unread:
    name = TOOLKIT_NAMES[backend]
    if kind == "vl-moe" or (kind == "ocr-vl" and backend == "erniekit"):
        return Unread(f"no worker here reads {name}'s models of this kind")
    if kind == "moe" and device == "cpu":
        return Unread(f"{name}'s experts have no kernels for a CPU", "export where there is a GPU")
    last = looked_at(backend)[-1]
    if last.toolkit is None:
        return Unread(f"no {name} to read it: {last.problem}", last.remedy(backend))
    variables = last.toolkit.environment(on_cpu=device == "cpu")
    command = tuple(last.toolkit.worker(f"{backend}_probe"))
    return Environment(f"{name} {last.toolkit.version}", command, variables, toolkit=True)


def _transformers(majors: tuple[int, ...]) -> Environment | Unread:
    found = find_transformers(*majors)
    if isinstance(found, Transformers):
        command = tuple(found.worker("transformers_probe"))
        return Environment(found.name, command, found.environment(), toolkit=False)
    versions = " or ".join(map(str, majors))
    return Unread(f"no transformers {versions} with PEFT to read it: {found}", setup_remedy(*majors))


def _too_large(base_dir: Path) -> Unread | None:
    """Why the model does not fit into memory in float32, if it does not."""
    tensors = list_model(base_dir).values()
    needed_bytes = int(_OVERHEAD * 4 * sum(tensor.size_bytes // ITEM_BYTES[tensor.dtype] for tensor in tensors))
    free_bytes = _available_bytes()
    if free_bytes is None or needed_bytes <= free_bytes:
        return None
    what = f"reading it in float32 takes {needed_bytes / 2**30:.1f} GiB of memory and {free_bytes / 2**30:.1f} are free"
    return Unread(what, "export where there is more memory, or a GPU")


def _available_bytes() -> int | None:
    """Memory that can be had without swapping; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith("MemAvailable:")), None)
    return int(found.split()[1]) * 1024 if found else None
