"""The toolkit and its environment: is it there and whole, and do its packages go together."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from erniekit_adapter.backends.installed import Candidate, paired_paddleformers
from erniekit_adapter.backends.keytable import TOOLKIT_NAMES
from erniekit_adapter.backends.probing import Installed
from erniekit_adapter.doctor.check import Check, ok, release, shown, skipped, wrong
from erniekit_adapter.project.model_folder import model_kind
from erniekit_adapter.project.schema import Project
from erniekit_adapter.project.toolkit_sections import Backend

# PaddlePaddle has wheels for these, and ERNIEKit's own documentation names them.
_OLDEST_PYTHON, _NEWEST_PYTHON = (3, 10), (3, 12)
# The versions that PaddleFormers 1.2.0 was seen to train with.
_SEEN_WITH_PADDLEFORMERS = {"paddle": (3, 3), "transformers": (5, 3)}
_KNOWN_PADDLEFORMERS = ((1, 0), (1, 2))


def our_python() -> Check:
    """The Python that this command runs in."""
    version = ".".join(map(str, sys.version_info[:3]))
    if _OLDEST_PYTHON <= sys.version_info[:2] <= _NEWEST_PYTHON:
        return ok(f"Python {version}")
    return wrong(f"Python {version}", "rm -rf .venv && make setup PYTHON=python3.11  (3.10, 3.11 or 3.12)")


def toolkit_checks(project: Project, tried: Sequence[Candidate]) -> Iterator[Check]:
    """Every place where the toolkit may be, up to the one that is used."""
    backend, toolkit = project.backend, tried[-1].toolkit
    if not toolkit:
        for each in tried:
            yield wrong(f"{each.found_by}: {each.problem}", _remedy(each, backend))
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
        yield _versions_that_go_together(backend, toolkit.version, installed)


def _remedy(candidate: Candidate, backend: Backend) -> str:
    if candidate.named_by_user:
        return f"unset {candidate.found_by} and run make setup-{backend}, or name another: docs/cluster.md"
    return f"run make setup-{backend}, or see docs/cluster.md"


def _versions_that_go_together(backend: Backend, version: str, installed: Installed) -> Check:
    if backend == "erniekit":
        if paired := paired_paddleformers(version):
            return ok(f"erniekit {version} goes with paddleformers {', '.join(paired)}")
        return skipped(f"erniekit {version} is not known here, nor which paddleformers goes with it")
    transformers = installed.versions.get("transformers") or ""
    known = _KNOWN_PADDLEFORMERS[0] <= release(version)[:2] <= _KNOWN_PADDLEFORMERS[1]
    seen = {"paddle": release(installed.paddle or "")[:2], "transformers": release(transformers)[:2]}
    if known and seen == _SEEN_WITH_PADDLEFORMERS:
        return ok("paddleformers 1.0 to 1.2, paddle 3.3 and transformers 5.3 go together")
    return skipped("paddleformers 1.2.0 was seen to train with paddle 3.3 and transformers 5.3; this is another choice")


def environment_checks(project: Project, candidate: Candidate, installed: Installed) -> Iterator[Check]:
    """The environment that the toolkit runs in, package by package."""
    python = candidate.python or Path("python")
    if not _OLDEST_PYTHON <= release(installed.python)[:2] <= _NEWEST_PYTHON:
        yield wrong(
            f"the toolkit's Python is {installed.python}", "make its environment with Python 3.10, 3.11 or 3.12"
        )
    yield from _launcher(candidate.home or python, python, installed)
    yield from pins(project.backend, python, installed)
    yield from _requirements(python, installed)
    yield from _for_this_project(project, python, installed)
    yield from _paddlenlp(python, installed)


def _pip(python: Path, *packages: str) -> str:
    return f"{shlex.quote(shown(python))} -m pip install {' '.join(map(shlex.quote, packages))}"


def _launcher(place: Path, python: Path, installed: Installed) -> Iterator[Check]:
    """Both toolkits start `python -m paddle.distributed.launch …` as one text, split at blanks like a command line."""
    if any(character.isspace() for character in str(place.absolute())):
        yield wrong(
            f"{place.absolute()} has a blank in its path, and the toolkit's launcher splits its own path there",
            "move this folder, or the toolkit's environment, to a path without blanks",
        )
    beside = python.parent / "python"
    if not beside.exists() and not shutil.which("python"):
        yield wrong(
            f"the launcher starts `python`, and there is none beside {shown(python)} or on PATH",
            f"ln -s {shlex.quote(python.name)} {shlex.quote(str(beside))}",
        )
    elif not beside.exists():
        yield wrong(
            f"the launcher starts `python`, and that is {shutil.which('python')}, not {shown(python)}",
            f"ln -s {shlex.quote(python.name)} {shlex.quote(str(beside))}",
        )
    missing = {"pip": "pip", "distutils": "setuptools<80"}
    lacking = [package for name, package in missing.items() if installed.lacks(name)]
    if lacking:
        bare = " and ".join(name for name in missing if installed.lacks(name))
        remedy = _pip(python, *lacking) if "pip" not in lacking else f"{shown(python)} -m ensurepip"
        yield wrong(f"{bare} cannot be imported, and PaddlePaddle or the launcher's GPUtil does so", remedy)


def pins(backend: Backend, python: Path, installed: Installed) -> Iterator[Check]:
    """Packages that a fresh installation resolves to versions which break."""
    found = {name: installed.versions.get(name) for name in ("numpy", "pyarrow", "datasets", "protobuf", "safetensors")}
    known = {name: version for name, version in found.items() if version}
    if not known:
        yield skipped("numpy, pyarrow, datasets, protobuf, safetensors: not installed, or not told")
        return
    broken = []
    old_numpy = "numpy" in known and release(known["numpy"]) < (2,)
    if "numpy" in known and not old_numpy:
        if backend == "erniekit":
            broken.append(("numpy==1.26.4", f"numpy {known['numpy']}: ERNIEKit's paddleformers asks at most 1.26.4"))
        else:
            yield skipped(f"numpy {known['numpy']}: PaddleFormers was seen to train with 1.26.4")
    for name, limit in (("pyarrow", 20), ("datasets", 4)):
        if old_numpy and name in known and release(known[name]) >= (limit,):
            why = f"{name} {known[name]} beside numpy {known['numpy']}: builds from {limit} on break with it"
            broken.append((f"{name}<{limit}", why))
    if "protobuf" in known and release(known["protobuf"]) >= (5,):
        broken.append(("protobuf<5", f"protobuf {known['protobuf']}: visualdl fails from 5 on"))
    for pin, why in broken:
        yield wrong(why, _pip(python, pin))
    if backend == "paddleformers" and release(known.get("safetensors", "0")) >= (0, 8):
        yield skipped(
            f"safetensors {known['safetensors']}: PaddleFormers' own export then writes strided arrays as wrong bytes; "
            "the bundle is made without it",
            _pip(python, "safetensors==0.7.0"),
        )
    if not broken:
        yield ok(f"{', '.join(f'{name} {version}' for name, version in known.items())} go together")


def _requirements(python: Path, installed: Installed) -> Iterator[Check]:
    """What the packages themselves ask; transformers asks at import and refuses, others never look."""
    for name, unmet in installed.unmet.items():
        if not unmet or name == "paddlenlp":
            continue
        what = f"{name} {installed.versions.get(name)} asks {'; '.join(unmet)}"
        asked = [text.partition(", found")[0] for text in unmet]
        if name == "transformers":
            yield wrong(f"{what}: it refuses to be imported", _pip(python, *asked))
        else:
            yield skipped(what, _pip(python, *asked))


def _for_this_project(project: Project, python: Path, installed: Installed) -> Iterator[Check]:
    versions = installed.versions
    writer = "tensorboardX" if project.training.use_tensorboard else "visualdl"
    if writer in versions and not versions[writer]:
        key = f"training.use_tensorboard is {str(project.training.use_tensorboard).lower()}"
        yield wrong(f"{key}, and {writer} is not installed", _pip(python, writer))
    kind = model_kind(project.model.model_name_or_path)
    if project.backend == "paddleformers" and kind == "ocr-vl" and "triton" in versions and not versions["triton"]:
        yield wrong("PaddleOCR-VL needs triton in PaddleFormers, a CPU included", _pip(python, "triton"))


def _paddlenlp(python: Path, installed: Installed) -> Iterator[Check]:
    """PaddleFormers' predecessor: nothing for ERNIE 4.5, and pins of its own that fight with the toolkits'."""
    version = installed.versions.get("paddlenlp")
    if not version:
        return
    unmet = installed.unmet.get("paddlenlp", [])
    conflicts = f", and asks {'; '.join(unmet)}" if unmet else ""
    yield skipped(
        f"paddlenlp {version} beside paddleformers {installed.versions.get('paddleformers')}: it has no ERNIE 4.5 "
        f"classes and nothing here uses it{conflicts}",
        f"{shlex.quote(shown(python))} -m pip uninstall paddlenlp, unless something else of yours needs it",
    )
