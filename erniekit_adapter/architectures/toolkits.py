"""The toolkits that train: names, releases, training methods and data formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from erniekit_adapter.errors import usage_error

Backend = Literal["erniekit", "paddleformers"]
Method = Literal["SFT", "DPO", "VL-SFT", "OCR-VL-SFT"]
DataFormat = Literal["erniekit", "erniekit-vl", "paddleformers"]
Quantization = Literal["wint8", "wint4", "wint4/8", "nf4", "fp8"]

TOOLKIT_NAMES: Mapping[Backend, str] = {"erniekit": "ERNIEKit", "paddleformers": "PaddleFormers"}
# Installed by the setup command, and assumed while no toolkit is found.
DEFAULT_VERSIONS: Mapping[Backend, str] = {"erniekit": "1.0.1", "paddleformers": "1.2.0"}


@dataclass(frozen=True)
class Release:
    """A minor release of a toolkit.

    Attributes:
        key_table: version in the name of its key table, `backends/keys/TOOLKIT-VERSION.json`.
        packages: packages that the release needs beside its main package; some wheels lack them.
        paddleformers: PaddleFormers releases that an ERNIEKit release works with; others end in "conflicting option
            string". Empty if not known.
    """

    key_table: str
    packages: tuple[str, ...] = ()
    paddleformers: tuple[str, ...] = ()


_ERNIE = ("ernie",)
# By minor version: 1.0.0 accepts the keys of 1.0.1.
RELEASES: Mapping[Backend, Mapping[str, Release]] = {
    "erniekit": {
        "1.0": Release("1.0.1", _ERNIE, ("0.1", "0.2", "0.3.0", "0.3.1", "0.3.2")),
        "1.1": Release("1.1.0", _ERNIE, ("0.2.4",)),
        "1.2": Release("1.2.0", _ERNIE, ("0.2.4",)),
        "1.3": Release("1.3.0", ("ernie", "data_processor"), ("0.3.1", "0.3.2")),
        "1.4": Release("1.4", _ERNIE, ("0.3.2",)),
        "1.5": Release("1.5", _ERNIE, ("0.4.0",)),
    },
    "paddleformers": {"1.0": Release("1.0.0"), "1.1": Release("1.1.1"), "1.2": Release("1.2.0")},
}
# Development branches, for versions that begin with "develop".
DEVELOPMENT: Mapping[Backend, Release] = {"erniekit": Release("develop-20251124", _ERNIE)}

# The first minor release with a training method or a quantization; a missing name is one that no release has.
METHODS_SINCE: Mapping[Backend, Mapping[Method, tuple[int, int]]] = {
    "erniekit": {"SFT": (1, 0), "DPO": (1, 0), "VL-SFT": (1, 1), "OCR-VL-SFT": (1, 4)},
    "paddleformers": {"SFT": (1, 0), "DPO": (1, 0), "VL-SFT": (1, 0)},
}
QUANTIZATIONS_SINCE: Mapping[Backend, Mapping[Quantization, tuple[int, int]]] = {
    "erniekit": {"wint8": (1, 0), "wint4/8": (1, 0), "fp8": (1, 0), "nf4": (1, 1)},
    "paddleformers": {"wint8": (1, 0), "wint4": (1, 0), "wint4/8": (1, 0), "nf4": (1, 0)},
}
# Behaviour that changed between releases of ERNIEKit: the first minor release with it.
Behaviour = Literal["DPO at offset 0", "evaluates whole steps", "images without a pipeline"]
ERNIEKIT_SINCE: Mapping[Behaviour, tuple[int, int]] = {
    # The loss of 1.0 fails without scores of the pairs, which any offset brings into it.
    "DPO at offset 0": (1, 1),
    # In a pipeline: whole steps are evaluated always, and the images of a step are shared among its ranks.
    "evaluates whole steps": (1, 1),
    "images without a pipeline": (1, 4),
}

# The format of the training examples that a method reads.
DATA_FORMATS: Mapping[Method, Mapping[Backend, DataFormat]] = {
    "SFT": {"erniekit": "erniekit", "paddleformers": "erniekit"},
    "DPO": {"erniekit": "erniekit", "paddleformers": "erniekit"},
    "VL-SFT": {"erniekit": "erniekit-vl", "paddleformers": "paddleformers"},
    "OCR-VL-SFT": {"erniekit": "erniekit-vl", "paddleformers": "paddleformers"},
}
IMAGE_METHODS: tuple[Method, ...] = ("VL-SFT", "OCR-VL-SFT")


def minor_release(version: str) -> tuple[int, int]:
    """Return `1.4.0` and `1.4` as (1, 4), to compare; a development version is later than all.

    Raises:
        UsageError: it is not a version.
    """
    if version.startswith("develop"):
        return (99, 0)
    try:
        major, minor = (int(part) for part in version.split(".")[:2])
    except ValueError as error:
        raise usage_error("version", f"found {version!r}, expected a version such as 1.0.1, or develop") from error
    return major, minor


def erniekit_has(behaviour: Behaviour, version: str) -> bool:
    """Return whether a version of ERNIEKit has a behaviour of `ERNIEKIT_SINCE`."""
    return minor_release(version) >= ERNIEKIT_SINCE[behaviour]


def release_of(version: str, backend: Backend = "erniekit") -> Release | None:
    """Return the release of a version such as `1.0.1` or `develop`; None if it is not known."""
    if version.startswith("develop"):
        return DEVELOPMENT.get(backend)
    return RELEASES[backend].get(".".join(version.split(".")[:2]))
