"""The toolkit and its environment: is it complete, and do its packages work together."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from erniekit_adapter.architectures.families import family_of
from erniekit_adapter.architectures.toolkits import DEFAULT_VERSIONS, RELEASES, TOOLKIT_NAMES, Backend, release_of
from erniekit_adapter.backends.environments.catalogue import NEWEST_PYTHON, OLDEST_PYTHON
from erniekit_adapter.backends.environments.installed import Candidate, paired_paddleformers
from erniekit_adapter.backends.environments.probing import Installed
from erniekit_adapter.doctor.check import Check, ok, release, shown, skipped, wrong
from erniekit_adapter.project.model_folder import model_kind
from erniekit_adapter.project.schema import Project

# Versions with which PaddleFormers 1.2.0 trained in our tests.
_PADDLEFORMERS = list(RELEASES["paddleformers"])
_TESTED_WITH_PADDLEFORMERS = {"paddle": (3, 3), "transformers": (5, 3)}
_OWN_PACKAGES = "unset PYTHONPATH, or remove that folder from it"


def our_python() -> Check:
    """Check the Python that this command runs in."""
    version = ".".join(map(str, sys.version_info[:3]))
    if OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        return ok(f"Python {version}")
    return wrong(f"Python {version}", "install erniekit-adapter again with Python 3.10, 3.11 or 3.12")


def toolkit_checks(project: Project, tried: Sequence[Candidate]) -> Iterator[Check]:
    """Check each place of the toolkit, up to the one that is used."""
    backend, toolkit = project.backend, tried[-1].toolkit
    if not toolkit:
        for each in tried:
            yield wrong(f"{each.found_by}: {each.problem}", each.hint(backend))
        return
    yield from (skipped(f"{each.found_by}: {each.problem}") for each in tried[:-1])
    installed = tried[-1].installed
    paddle = installed.paddle if installed else None
    others = [f"paddle {paddle}"]
    if backend == "erniekit":
        others.append(f"paddleformers {toolkit.versions.get('paddleformers')}")
    else:
        others.append(f"transformers {toolkit.versions.get('transformers')}")
    yield ok(f"{TOOLKIT_NAMES[backend]} {toolkit.version} ({toolkit.found_by}), {', '.join(others)}")
    named = project.named_version
    if named and release(named)[:2] != release(toolkit.version)[:2]:
        yield wrong(f"{backend}.version is {named}, and {toolkit.version} is installed", f"remove {backend}.version")
    if installed:
        yield _matching_versions(backend, toolkit.version, installed)


def _matching_versions(backend: Backend, version: str, installed: Installed) -> Check:
    if backend == "erniekit":
        if paired := paired_paddleformers(version):
            return ok(f"erniekit {version} works with paddleformers {', '.join(paired)}")
        return skipped(f"erniekit {version} and the paddleformers that works with it are not known here")
    transformers = installed.versions.get("transformers") or ""
    known = release_of(version, "paddleformers")
    found = {"paddle": release(installed.paddle or "")[:2], "transformers": release(transformers)[:2]}
    if known and found == _TESTED_WITH_PADDLEFORMERS:
        releases = f"{_PADDLEFORMERS[0]} to {_PADDLEFORMERS[-1]}"
        return ok(f"paddleformers {releases}, paddle 3.3 and transformers 5.3 work together")
    tested = DEFAULT_VERSIONS["paddleformers"]
    return skipped(f"paddleformers {tested} was tested with paddle 3.3 and transformers 5.3, not with these versions")


def environment_checks(project: Project, candidate: Candidate, installed: Installed) -> Iterator[Check]:
    """Check the environment that the toolkit runs in, package by package."""
    python = candidate.python or Path("python")
    if not OLDEST_PYTHON <= release(installed.python)[:2] <= NEWEST_PYTHON:
        yield wrong(
            f"the toolkit's Python is {installed.python}", "make its environment with Python 3.10, 3.11 or 3.12"
        )
    yield from _launcher(candidate.home or python, python, installed)
    yield from _foreign(installed)
    yield from pins(project.backend, python, installed)
    yield from _requirements(python, installed)
    yield from _for_this_project(project, python, installed)
    yield from _paddlenlp(python, installed)


def _pip(python: Path, *packages: str) -> str:
    return f"{shlex.quote(shown(python))} -m pip install {' '.join(map(shlex.quote, packages))}"


def _launcher(place: Path, python: Path, installed: Installed) -> Iterator[Check]:
    """Check the needs of the launchers: they start `python -m paddle.distributed.launch …`, a text split at blanks."""
    if any(character.isspace() for character in str(place.absolute())):
        yield wrong(
            f"the path {place.absolute()} contains a blank, and the toolkit's launcher splits its own path at blanks",
            "move this folder, or the toolkit's environment, to a path without blanks",
        )
    beside = python.parent / "python"
    if not beside.exists() and not shutil.which("python"):
        yield wrong(
            f"the launcher starts `python`, which is neither beside {shown(python)} nor on PATH",
            f"ln -s {shlex.quote(python.name)} {shlex.quote(str(beside))}",
        )
    elif not beside.exists():
        yield wrong(
            f"the launcher starts `python`, and that is {shutil.which('python')}, not {shown(python)}",
            f"ln -s {shlex.quote(python.name)} {shlex.quote(str(beside))}",
        )
    packages = {"pip": "pip", "distutils": "setuptools<80"}
    missing = [name for name in packages if installed.lacks(name)]
    if missing:
        hint = (
            f"{shown(python)} -m ensurepip" if "pip" in missing else _pip(python, *(packages[name] for name in missing))
        )
        yield wrong(
            f"{' and '.join(missing)} cannot be imported, and PaddlePaddle or GPUtil of the launcher imports it", hint
        )


def _foreign(installed: Installed) -> Iterator[Check]:
    """Note packages that a folder of PYTHONPATH puts in front of the environment's own."""
    folders: dict[str, list[str]] = {}
    for name, folder in installed.foreign.items():
        folders.setdefault(folder, []).append(name)
    for folder, names in folders.items():
        yield skipped(
            f"the toolkit imports {', '.join(names)} from {folder}, which is on PYTHONPATH, not from its environment",
            _OWN_PACKAGES,
        )


def pins(backend: Backend, python: Path, installed: Installed) -> Iterator[Check]:
    """Check packages whose newest versions break a toolkit, although a fresh installation takes them."""
    found = {name: installed.versions.get(name) for name in ("numpy", "pyarrow", "datasets", "protobuf", "safetensors")}
    known = {name: version for name, version in found.items() if version}
    if not known:
        yield skipped("numpy, pyarrow, datasets, protobuf, safetensors: not installed, or of unknown versions")
        return
    broken = []
    old_numpy = "numpy" in known and release(known["numpy"]) < (2,)
    if "numpy" in known and not old_numpy:
        if backend == "erniekit":
            broken.append(("numpy==1.26.4", f"numpy {known['numpy']}: paddleformers of ERNIEKit needs 1.26.4 or older"))
        else:
            yield skipped(f"numpy {known['numpy']}: PaddleFormers was tested with 1.26.4")
    for name, limit in (("pyarrow", 20), ("datasets", 4)):
        if old_numpy and name in known and release(known[name]) >= (limit,):
            reason = f"{name} {known[name]} with numpy {known['numpy']}: {name} {limit} and later need numpy 2"
            broken.append((f"{name}<{limit}", reason))
    if "protobuf" in known and release(known["protobuf"]) >= (5,):
        broken.append(("protobuf<5", f"protobuf {known['protobuf']}: visualdl fails with protobuf 5 and later"))
    for pin, reason in broken:
        # Installing a package does not help if PYTHONPATH puts another version in front of it.
        is_foreign = any(pin.startswith(module.rpartition(".")[2]) for module in installed.foreign)
        yield wrong(reason, _OWN_PACKAGES if is_foreign else _pip(python, pin))
    if backend == "paddleformers" and release(known.get("safetensors", "0")) >= (0, 8):
        yield skipped(
            f"safetensors {known['safetensors']}: PaddleFormers' own export then writes strided arrays as wrong bytes; "
            "bundles are written without it",
            _pip(python, "safetensors==0.7.0"),
        )
    if not broken:
        yield ok(f"{', '.join(f'{name} {version}' for name, version in known.items())} work together")


def _requirements(python: Path, installed: Installed) -> Iterator[Check]:
    """Check the packages' own requirements; only transformers refuses to be imported if one is not met."""
    for name, unmet in installed.unmet.items():
        if not unmet or name == "paddlenlp":
            continue
        finding = f"{name} {installed.versions.get(name)} requires {'; '.join(unmet)}"
        required = [text.partition(", found")[0] for text in unmet]
        if name == "transformers":
            yield wrong(f"{finding}: it cannot be imported", _pip(python, *required))
        else:
            yield skipped(finding, _pip(python, *required))


def _for_this_project(project: Project, python: Path, installed: Installed) -> Iterator[Check]:
    versions = installed.versions
    writer = "tensorboardX" if project.training.use_tensorboard else "visualdl"
    if writer in versions and not versions[writer]:
        key = f"training.use_tensorboard is {str(project.training.use_tensorboard).lower()}"
        yield wrong(f"{key}, and {writer} is not installed", _pip(python, writer))
    family = family_of(model_kind(project.model.model_name_or_path))
    for package in family.packages.get(project.backend, ()):
        if package in versions and not versions[package]:
            finding = f"{family.name} needs {package} in {TOOLKIT_NAMES[project.backend]}, also on a CPU"
            yield wrong(finding, _pip(python, package))


def _paddlenlp(python: Path, installed: Installed) -> Iterator[Check]:
    """Note PaddleFormers' predecessor: it has no ERNIE 4.5, and its pins conflict with those of the toolkits."""
    version = installed.versions.get("paddlenlp")
    if not version:
        return
    unmet = installed.unmet.get("paddlenlp", [])
    conflicts = f", and requires {'; '.join(unmet)}" if unmet else ""
    yield skipped(
        f"paddlenlp {version} beside paddleformers {installed.versions.get('paddleformers')}: it has no ERNIE 4.5 "
        f"classes and is not used here{conflicts}",
        f"{shlex.quote(shown(python))} -m pip uninstall paddlenlp, unless you need it for something else",
    )
