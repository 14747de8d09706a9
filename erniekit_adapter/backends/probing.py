"""What an environment has installed, asked of its own interpreter, which imports nothing of a toolkit to answer."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from erniekit_adapter.backends.variables import without_secrets

PROBE_TIMEOUT_S = 60

# Distributions whose versions decide whether a toolkit works.
DISTRIBUTIONS = (
    *("erniekit", "paddlepaddle", "paddlepaddle-gpu", "paddleformers", "paddlenlp", "transformers"),
    *("numpy", "protobuf", "pyarrow", "datasets", "safetensors", "visualdl", "tensorboardX", "triton", "etcd3"),
    *("torch", "peft"),
)
# Packages that have to be importable: a checkout has no distribution, and the wheels 1.1.0 to 1.3.0 lack some.
PACKAGES = ("erniekit", "ernie", "data_processor", "paddle", "paddleformers", "pip", "distutils")
# Distributions whose own requirements are held against what is installed.
_ASKING = ("erniekit", "paddleformers", "transformers", "paddlepaddle", "paddlepaddle-gpu", "paddlenlp")

# Runs in the candidate's python; it answers in a tenth of a second.
_PROBE = """
import importlib.metadata as m, importlib.util as u, json, sys
names, packages, asking = json.loads(sys.argv[1])
def version(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return None
def unmet(name):
    try: from packaging.requirements import Requirement
    except ImportError: return []
    found = []
    for text in m.requires(name) or ():
        asked = Requirement(text)
        if asked.marker is not None and not asked.marker.evaluate({"extra": ""}): continue
        has = version(asked.name)
        if has and asked.specifier.contains(has, prereleases=True): continue
        found.append(f"{asked.name}{asked.specifier}, found {has or 'none'}")
    return found
versions = {n: version(n) for n in names}
print(json.dumps({"python": sys.version.split()[0], "versions": versions,
                  "packages": {p: bool(u.find_spec(p)) for p in packages},
                  "unmet": {n: unmet(n) for n in asking if versions[n]}}))
"""


@dataclass(frozen=True)
class Installed:
    """What an interpreter has.

    Attributes:
        python: its version.
        versions: the distributions that matter, by name; None for one that is not installed.
        packages: whether each of PACKAGES can be imported.
        unmet: what a distribution asks and does not find: `{"transformers": ["tokenizers<0.23,>=0.22, found 0.21.4"]}`.
    """

    python: str
    versions: Mapping[str, str | None]
    packages: Mapping[str, bool]
    unmet: Mapping[str, list[str]] = field(default_factory=dict)

    def lacks(self, package: str) -> bool:
        """Whether a package was looked for and is not importable."""
        return not self.packages.get(package, True)

    @property
    def paddle(self) -> str | None:
        """PaddlePaddle's version, whichever build it is."""
        return self.versions.get("paddlepaddle-gpu") or self.versions.get("paddlepaddle")


def probe_python(python: Path, home: Path | None = None) -> Installed | str:
    """What an interpreter has installed, `home` in front of it on its path; or what is wrong with the interpreter."""
    if not python.exists():
        return f"{python} does not exist"
    environment = {**without_secrets(os.environ), **({"PYTHONPATH": str(home)} if home else {})}
    asked = orjson.dumps([DISTRIBUTIONS, PACKAGES, _ASKING]).decode()
    try:
        done = subprocess.run(
            [str(python), "-c", _PROBE, asked],
            capture_output=True,
            timeout=PROBE_TIMEOUT_S,
            env=environment,
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
        return f"{python} is no Python: it printed {done.stdout[:60]!r}"


def interpreter_of(script: Path) -> Path:
    """The interpreter that a command on PATH runs in: the one beside it, or the one its first line names."""
    beside = script.parent / "python"
    if beside.exists():
        return beside
    with script.open("rb") as stream:
        words = stream.readline(512).decode(errors="replace").strip().removeprefix("#!").split()
    name = words[-1] if words and Path(words[0]).name == "env" else next(iter(words), "python3")
    return Path(shutil.which(name) or name)


def version_of_checkout(home: Path | None) -> str:
    """A checkout that was never pip-installed carries its version in erniekit/utils/env.py; "" where it has none."""
    if home is None:
        return ""
    source = home / "erniekit" / "utils" / "env.py"
    lines = source.read_text(errors="replace").splitlines() if source.is_file() else []
    quoted = next((line for line in lines if line.strip().startswith("VERSION")), "")
    return quoted.partition("=")[2].strip().strip("\"'")
