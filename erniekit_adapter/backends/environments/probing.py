"""Versions that a toolkit's process would import, read by its own interpreter without importing the toolkit."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from erniekit_adapter.backends.environments.variables import toolkit_variables

PROBE_TIMEOUT_S = 60

# Distributions whose versions decide whether a toolkit works.
DISTRIBUTIONS = (
    *("erniekit", "paddlepaddle", "paddlepaddle-gpu", "paddleformers", "paddlenlp", "transformers"),
    *("numpy", "protobuf", "pyarrow", "datasets", "safetensors", "visualdl", "tensorboardX", "triton", "etcd3"),
    *("torch", "peft", "llguidance"),
)
# Packages of distributions that have another name.
MODULES = {"paddlepaddle": "paddle", "paddlepaddle-gpu": "paddle", "protobuf": "google.protobuf"}
# Packages that must be importable: a checkout has no distribution, and the wheels 1.1.0 to 1.3.0 lack some.
PACKAGES = ("erniekit", "ernie", "data_processor", "paddle", "paddleformers", "pip", "distutils")
# Distributions whose own requirements are compared with the installed versions.
_REQUIRING = ("erniekit", "paddleformers", "transformers", "paddlepaddle", "paddlepaddle-gpu", "paddlenlp")

# Runs in the candidate's interpreter. It reads versions from the names of the dist-info folders, which takes a third of
# the time of importlib.metadata; that is used only for a development install, whose folder has no version in its name.
# The current folder is taken off the path, as a run has another one.
_PROBE = """
import sys
sys.path[:] = [p for p in sys.path if p]
import functools, importlib.util as u, json, os
names, modules, packages, requiring, home = json.loads(sys.argv[1])
@functools.lru_cache(None)
def folder(module):
    try: spec = u.find_spec(module)
    except ModuleNotFoundError: return None
    if spec is None or not spec.origin or spec.origin in ("built-in", "frozen"): return None
    path = os.path.dirname(spec.origin)
    for _ in range(module.count(".") + (spec.submodule_search_locations is not None)): path = os.path.dirname(path)
    return path
def normal(name): return name.replace("-", "_").replace(".", "_").lower()
@functools.lru_cache(None)
def distributions(place):
    try: entries = [entry.rpartition(".") for entry in os.listdir(place)]
    except OSError: return {}
    stems = [stem for stem, _, suffix in entries if suffix in ("dist-info", "egg-info")]
    return {normal(stem.partition("-")[0]): stem.partition("-")[2].partition("-")[0] for stem in stems}
def version(name):
    place = folder(modules.get(name, name))
    for each in [place, *sys.path] if place else sys.path:
        found = distributions(each).get(normal(name))
        if found: return found
        if found is not None: break
    else: return None
    import importlib.metadata as m
    return m.version(name)
def requires(name):
    import importlib.metadata as m
    return m.requires(name) or ()
def unmet(name):
    try: from packaging.requirements import Requirement
    except ImportError: return []
    found = []
    for text in requires(name):
        required = Requirement(text)
        if required.marker is not None and not required.marker.evaluate({"extra": ""}): continue
        has = version(required.name)
        if has and required.specifier.contains(has, prereleases=True): continue
        found.append(f"{required.name}{required.specifier}, found {has or 'none'}")
    return found
def foreign():
    import sysconfig
    listed = {os.path.realpath(place) for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place}
    listed -= {os.path.realpath(place) for place in (*sysconfig.get_paths().values(), home or sys.prefix)}
    found = {each: folder(each) for each in sorted({modules.get(name, name) for name in names})} if listed else {}
    return {module: place for module, place in found.items() if place and os.path.realpath(place) in listed}
versions = {name: version(name) for name in names}
print(json.dumps({"python": sys.version.split()[0], "versions": versions,
                  "packages": {package: bool(u.find_spec(package)) for package in packages},
                  "unmet": {name: unmet(name) for name in requiring if versions[name]},
                  "foreign": foreign() if requiring else {}}))
"""


@dataclass(frozen=True)
class Installed:
    """Packages that an interpreter would import.

    Attributes:
        python: version of the interpreter.
        versions: version of each of DISTRIBUTIONS; None if it is not installed.
        packages: whether each of PACKAGES can be imported.
        unmet: requirements of a distribution that are not met:
            `{"transformers": ["tokenizers<0.23,>=0.22, found 0.21.4"]}`.
        foreign: packages that would be imported from a folder of PYTHONPATH, each with that folder.
    """

    python: str
    versions: Mapping[str, str | None]
    packages: Mapping[str, bool]
    unmet: Mapping[str, list[str]] = field(default_factory=dict)
    foreign: Mapping[str, str] = field(default_factory=dict)

    def lacks(self, package: str) -> bool:
        """Return whether a package was searched for and cannot be imported."""
        return not self.packages.get(package, True)

    @property
    def paddle(self) -> str | None:
        """Version of PaddlePaddle, of the build for GPUs or for CPUs."""
        return self.versions.get("paddlepaddle-gpu") or self.versions.get("paddlepaddle")


def probe_python(python: Path, home: Path | None = None, *, with_requirements: bool = True) -> Installed | str:
    """Return the packages that a toolkit's process would import, or the reason why the interpreter cannot be used.

    Args:
        python: the interpreter.
        home: a checkout of ERNIEKit that comes first on its path.
        with_requirements: also compare the requirements of the distributions, which takes twice as long.
    """
    if not python.exists():
        return f"{python} does not exist"
    requiring = _REQUIRING if with_requirements else ()
    names = orjson.dumps([DISTRIBUTIONS, MODULES, PACKAGES, requiring, str(home) if home else ""]).decode()
    try:
        done = subprocess.run(
            [str(python), "-c", _PROBE, names],
            capture_output=True,
            timeout=PROBE_TIMEOUT_S,
            env=toolkit_variables(home),
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{python} does not run: {error}"
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return f"{python} does not run: {' '.join(last)[:200]}"
    try:
        return Installed(**orjson.loads(done.stdout))
    except (orjson.JSONDecodeError, TypeError):
        return f"{python} is not a Python interpreter: it printed {done.stdout[:60]!r}"


def interpreter_of(script: Path) -> Path:
    """Return the interpreter of a command on PATH: the one beside it, or the one that its first line names."""
    beside = script.parent / "python"
    if beside.exists():
        return beside
    with script.open("rb") as stream:
        words = stream.readline(512).decode(errors="replace").strip().removeprefix("#!").split()
    name = words[-1] if words and Path(words[0]).name == "env" else next(iter(words), "python3")
    return Path(shutil.which(name) or name)


def version_of_checkout(home: Path | None) -> str:
    """Return the version in `erniekit/utils/env.py` of a checkout that was never installed with pip, or ""."""
    if home is None:
        return ""
    source = home / "erniekit" / "utils" / "env.py"
    lines = source.read_text(errors="replace").splitlines() if source.is_file() else []
    quoted = next((line for line in lines if line.strip().startswith("VERSION")), "")
    return quoted.partition("=")[2].strip().strip("\"'")
