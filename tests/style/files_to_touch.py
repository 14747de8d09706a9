"""Count the product files that know about a LoRA target, a model family or a toolkit version.

    python tests/style/files_to_touch.py [REVISION]

A file counts if its code has a literal of the concept: a string constant, an identifier, or a version number. Comments
and docstrings do not count. The files of the working tree are listed; with a revision, its numbers come before those of
the working tree: `model family: 24 → 7 files, limit 8`.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = ("erniekit_adapter", "data_tools", "requirements")
_VERSION = r"(?:0|1)\.\d+(?:\.\d+)?"


@dataclass(frozen=True)
class Concept:
    """Something that a developer adds.

    Attributes:
        name: for the output.
        limit: the most files that one more of it may touch.
        text: pattern of its literals in string constants.
        names: pattern of its identifiers.
        numbers: whether `(1, 3)` compared with a release counts.
        files: pattern of files without Python code that it touches.
    """

    name: str
    limit: int
    text: re.Pattern[str]
    names: re.Pattern[str] | None = None
    numbers: bool = False
    files: re.Pattern[str] | None = None


_MODEL_NAMES = r"ernie4_5\w*|Ernie4_5\w*|paddleocr_vl\w*|PaddleOCRVL\w*"
CONCEPTS = (
    # Fused layers too, and parts of such names in f-strings.
    Concept("LoRA target", 3, re.compile(r"\w*_proj\b"), re.compile(r"\w_proj\b")),
    Concept(
        "model family",
        8,
        re.compile(rf"^(?:dense|moe|vl-moe|ocr-vl)$|{_MODEL_NAMES}|^paddleocr-vl$|ernie_(?:vl_)?nothink"),
        re.compile(_MODEL_NAMES),
    ),
    # One key table and one pair of requirements, in place of those of the new version.
    Concept(
        "toolkit version",
        4,
        re.compile(rf"^{_VERSION}$|^develop-\d+$"),
        numbers=True,
        files=re.compile(r"(?:.*/)?requirements/paddleformers\.(?:in|txt)|.*/keys/paddleformers-1\.2\.0\.json"),
    ),
)
# Amounts, probabilities and our own version look like versions in these.
_NOT_VERSIONS = re.compile(
    r"data_tools/|erniekit_adapter/(?:documents|invoice|service|evaluation|__init__)|.*/same_names"
)


def files_to_touch(files: Mapping[str, str]) -> dict[str, list[str]]:
    """Return, for each concept, the files that contain its literals.

    Args:
        files: the text of each file, by its path in the repository.
    """
    return {concept.name: sorted(path for path in files if _knows(path, files[path], concept)) for concept in CONCEPTS}


def _knows(path: str, text: str, concept: Concept) -> bool:
    if not path.endswith(".py"):
        return bool(concept.files and concept.files.fullmatch(path))
    if concept.numbers and _NOT_VERSIONS.match(path):
        return False
    tree = ast.parse(text)
    if any(concept.text.search(text) for text in _texts(tree)):
        return True
    if concept.names and any(concept.names.search(name) for name in _names(tree)):
        return True
    return concept.numbers and any(_compares_release(node) for node in ast.walk(tree))


def _texts(tree: ast.Module) -> Iterator[str]:
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def _names(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.alias)):
            yield node.name


def _compares_release(node: ast.AST) -> bool:
    """Return whether a node is a table or comparison with `(1, 3)`, as `minor_release` returns it."""
    inside: list[ast.expr] = []
    if isinstance(node, ast.Compare) and "minor_release" in ast.dump(node):
        inside = node.comparators
    elif isinstance(node, ast.Dict):
        inside = node.values
    return any(_is_release(value) for value in inside) and not _is_pair_table(node)


def _is_release(node: ast.expr) -> bool:
    if not isinstance(node, ast.Tuple) or len(node.elts) != 2:
        return False
    first, second = (part.value if isinstance(part, ast.Constant) else None for part in node.elts)
    return first == 1 and isinstance(second, int)


def _is_pair_table(node: ast.AST) -> bool:
    """Return whether a table has other pairs than releases, such as bytes of a weight."""
    return isinstance(node, ast.Dict) and not all(_is_release(value) for value in node.values)


def read_tree() -> dict[str, str]:
    """Return the product files of the working tree."""
    paths = [path for folder in _FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(ROOT)): _text(path.read_bytes()) for path in paths if "__pycache__" not in path.parts}


def read_revision(revision: str) -> dict[str, str]:
    """Return the product files of a git revision."""
    with tarfile.open(fileobj=io.BytesIO(_git("archive", revision, *_FOLDERS))) as archive:
        found = {member.name: archive.extractfile(member) for member in archive if member.isfile()}
        return {name: _text(file.read()) for name, file in found.items() if file}


def _text(content: bytes) -> str:
    return content.decode("utf-8", errors="replace")


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True).stdout


def main() -> None:
    """Print the number of files of each concept, its limit, and the files of the working tree."""
    earlier = files_to_touch(read_revision(sys.argv[1])) if len(sys.argv) > 1 else {}
    found = files_to_touch(read_tree())
    for concept in CONCEPTS:
        files = found[concept.name]
        before = f"{len(earlier[concept.name])} → " if earlier else ""
        print(f"{concept.name}: {before}{len(files)} files, limit {concept.limit}")
        for file in files:
            print(f"  {file}")


if __name__ == "__main__":
    main()
