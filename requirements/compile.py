"""Compile requirements/*.in to exact versions for Linux x86-64 and Python 3.10 to 3.12, with uv.

Versions that a .txt file already names are kept where they still fit; delete a line to let it move. What holds for all
platforms these files are for, and every word about an index, is left out of them.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
# What a CUDA build of torch brings along; pip adds it where such a build is what it finds.
CUDA_PACKAGES = re.compile(r"(nvidia|cuda)-|triton")
WITH_TORCH = ("transformers", "transformers5")
# Compiled before the others, which have to agree with them in .venv.
CONSTRAINTS = ("project", "ray")
ALWAYS_TRUE = (
    r" and platform_machine == 'x86_64'",
    r" and (platform_python_implementation|implementation_name) != 'PyPy'",
    r" and sys_platform == 'linux'",
    r" ; python_full_version < '3\.13'$",
    r" and python_full_version < '3\.13'$",
)


def compiled(source: Path) -> str:
    """The text of the .txt file that belongs to an .in file."""
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
    """Compile every .in file, or those named."""
    every = sorted(FOLDER.glob("*.in"), key=lambda source: (source.stem not in CONSTRAINTS, source))
    for source in [FOLDER / f"{name}.in" for name in sys.argv[1:]] or every:
        source.with_suffix(".txt").write_text(compiled(source))
        print(f"requirements/{source.stem}.txt")


if __name__ == "__main__":
    main()
