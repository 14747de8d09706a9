"""Compile .in files to exact versions for Linux x86-64 and Python 3.10 to 3.12, with uv.

The files of the project are in this folder. Those of the toolkits' environments are part of the package, because
`erniekit-adapter setup` of an installed copy needs them. Versions in a .txt file are kept if they still fit; delete a
line to update it. Markers that are true on every supported platform and options about an index are removed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
TOOLKITS = FOLDER.parent / "erniekit_adapter" / "backends" / "requirements"
# Dependencies of torch's CUDA build; pip adds them again if it finds such a build.
CUDA_PACKAGES = re.compile(r"(nvidia|cuda)-|triton")
WITH_TORCH = ("transformers", "transformers5")
# Compiled first, because the others are constrained by them.
CONSTRAINTS = ("project", "ray")
ALWAYS_TRUE = (
    r" and platform_machine == 'x86_64'",
    r" and (platform_python_implementation|implementation_name) != 'PyPy'",
    r" and sys_platform == 'linux'",
    r" ; python_full_version < '3\.13'$",
    r" and python_full_version < '3\.13'$",
)


def compiled(source: Path) -> str:
    """Return the text of the .txt file that belongs to an .in file."""
    target = source.with_suffix(".txt")
    command = ["uv", "pip", "compile", "--universal", "--python-version", "3.10", "--no-annotate", "--no-header"]
    subprocess.run([*command, "-q", str(source), "-o", str(target)], cwd=FOLDER.parent, check=True)
    lines = [
        f"# Compiled from {source.name} (make requirements): exact versions for Linux x86-64, Python 3.10 to 3.12."
    ]
    for line in target.read_text().splitlines():
        if not line or line.startswith("#") or (source.stem in WITH_TORCH and CUDA_PACKAGES.match(line)):
            continue
        for marker in ALWAYS_TRUE:
            line = re.sub(marker, "", line)
        lines.append(line)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Compile all .in files, or those with the names on the command line."""
    sources = [*FOLDER.glob("*.in"), *TOOLKITS.glob("*.in")]
    chosen = [source for source in sources if source.stem in sys.argv[1:] or not sys.argv[1:]]
    for source in sorted(chosen, key=lambda source: (source.stem not in CONSTRAINTS, source.stem)):
        source.with_suffix(".txt").write_text(compiled(source))
        print(source.with_suffix(".txt").relative_to(FOLDER.parent))


if __name__ == "__main__":
    main()
