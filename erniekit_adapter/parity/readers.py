"""Readers of a parity check: the environment that reads each format on this machine, or the reason for its absence."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from erniekit_adapter.architectures.families import BundleFormat, Kind, family_of
from erniekit_adapter.architectures.toolkits import TOOLKIT_NAMES, Backend
from erniekit_adapter.backends.environments.hugging_face import Transformers, find_transformers, setup_hint
from erniekit_adapter.backends.environments.installed import try_candidates
from erniekit_adapter.errors import Problem, UncheckedError
from erniekit_adapter.layouts.base_files import list_weights
from erniekit_adapter.tensor_files import ITEM_BYTES

# Memory of a reader relative to its float32 weights: one tensor twice during loading, and the logits.
_OVERHEAD = 1.3


@dataclass(frozen=True)
class Environment:
    """Environment of a reader.

    Attributes:
        name: its name in reports, such as `ERNIEKit 1.0.1`.
        command: the worker's command line, without its options.
        variables: environment variables of the worker.
        toolkit: whether it is the toolkit that trained the adapter.
    """

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str]
    toolkit: bool


@dataclass(frozen=True)
class Unread:
    """Reason why a format is not read, and a hint."""

    reason: str
    hint: str = ""


@dataclass(frozen=True)
class Readers:
    """Environments by format.

    Attributes:
        environments: the environment of each format. `native` is included if the toolkit is installed, because it is
            the reference.
        unread: the formats without a reader.
        device: cpu or gpu.
    """

    environments: Mapping[BundleFormat, Environment]
    unread: Mapping[BundleFormat, Unread]
    device: str

    def in_order(self) -> list[Environment]:
        """Return each environment once, the toolkit's first."""
        each = {environment.name: environment for environment in self.environments.values()}
        return sorted(each.values(), key=lambda environment: not environment.toolkit)

    def formats_of(self, environment: Environment) -> list[BundleFormat]:
        """Return the formats that an environment reads."""
        return [name for name, each in self.environments.items() if each == environment]


def find_readers(formats: list[BundleFormat], backend: Backend, kind: Kind, base_dir: Path, device: str) -> Readers:
    """Find a reader for each format on this machine.

    Args:
        formats: the formats of the bundle.
        backend: the toolkit that trained the adapter.
        kind: the base model's kind.
        base_dir: its folder, for the memory that its size needs.
        device: the project's device; without a GPU driver, the CPU is used.
    """
    device = "gpu" if device == "gpu" and shutil.which("nvidia-smi") else "cpu"
    toolkit = _toolkit(backend, kind, device)
    torch: dict[tuple[int, ...], Environment | Unread] = {}
    environments: dict[BundleFormat, Environment] = {}
    unread: dict[BundleFormat, Unread] = {}
    too_large = _too_large(base_dir) if device == "cpu" else None
    reference: list[BundleFormat] = [] if "native" in formats else ["native"]
    for each in formats + reference:
        majors = majors_that_read(each, kind)
        if majors and majors not in torch:
            torch[majors] = _transformers(majors)
        found = too_large or (torch[majors] if majors else toolkit)
        if isinstance(found, Environment):
            environments[each] = found
        elif each in formats:
            unread[each] = found
    return Readers(environments, unread, device)


def majors_that_read(bundle_format: BundleFormat, kind: Kind) -> tuple[int, ...]:
    """Return the major versions of transformers that read a format; none if the toolkit reads it."""
    return family_of(kind).transformers.get(bundle_format, ())


def refuse_unread(unread: Mapping[BundleFormat, Unread]) -> None:
    """Refuse formats that cannot be checked.

    Raises:
        UncheckedError: with each format, the reason and a hint.
    """
    accept = "accept it with --allow-unchecked"
    problems = [
        Problem(f"format {name}", f"not checked: {each.reason}", f"{each.hint}, or {accept}" if each.hint else accept)
        for name, each in unread.items()
    ]
    if problems:
        raise UncheckedError(problems)


def _toolkit(backend: Backend, kind: Kind, device: str) -> Environment | Unread:
    name = TOOLKIT_NAMES[backend]
    family = family_of(kind)
    if backend not in family.probes:
        return Unread(f"this project has no reader for {name}'s models of this kind")
    if family.has_experts and device == "cpu":
        return Unread(f"{name}'s experts have no kernels for a CPU", "export on a machine with a GPU")
    last = try_candidates(backend)[-1]
    if last.toolkit is None:
        return Unread(f"{name}, which reads it, is not installed: {last.problem}", last.hint(backend))
    variables = last.toolkit.environment(on_cpu=device == "cpu")
    command = tuple(last.toolkit.worker(f"{backend}_probe"))
    return Environment(f"{name} {last.toolkit.version}", command, variables, toolkit=True)


def _transformers(majors: tuple[int, ...]) -> Environment | Unread:
    found = find_transformers(*majors)
    if isinstance(found, Transformers):
        command = tuple(found.worker("transformers_probe"))
        return Environment(found.name, command, found.environment(), toolkit=False)
    versions = " or ".join(map(str, majors))
    finding = f"transformers {versions} with PEFT, which reads it, is not installed: {found}"
    return Unread(finding, setup_hint(*majors))


def _too_large(base_dir: Path) -> Unread | None:
    """Return a reason if the model does not fit into memory in float32."""
    tensors = list_weights(base_dir).values()
    needed_bytes = int(_OVERHEAD * 4 * sum(tensor.size_bytes // ITEM_BYTES[tensor.dtype] for tensor in tensors))
    free_bytes = _available_bytes()
    if free_bytes is None or needed_bytes <= free_bytes:
        return None
    finding = (
        f"reading it in float32 needs {needed_bytes / 2**30:.1f} GiB of memory and {free_bytes / 2**30:.1f} are free"
    )
    return Unread(finding, "export on a machine with more memory, or with a GPU")


def _available_bytes() -> int | None:
    """Return the memory that is available without swapping; None if the system does not report it."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith("MemAvailable:")), None)
    return int(found.split()[1]) * 1024 if found else None
