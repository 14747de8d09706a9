"""Count words that the project's style avoids, per 10,000 words of comments, docstrings, messages and documentation.

`python tests/style/wording.py [FOLDER …]` prints a table; with `--where NAME` it prints the lines with a match.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("erniekit_adapter", "data_tools", "tests", "benchmarks", "tiny_base", "docs", "README.md", "CONTRIBUTING.md")
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]+")


class Rule(NamedTuple):
    """A pattern and its limit per 10,000 words: the highest count in nine model codebases."""

    name: str
    pattern: re.Pattern[str]
    limit: float


def _rule(name: str, pattern: str, limit: float) -> Rule:
    return Rule(name, re.compile(pattern, re.IGNORECASE), limit)


RULES = (
    _rule("what as a noun clause", r"\bwhat (?!to\b|if\b)[a-z'-]+(?! [^.?!\n]*\?)", 6),
    _rule("says, tells", r"\b(?:says?|tells?|said|told|saying|telling)\b", 2),
    _rule("where for if", r"\bwhere (?:there|it|none|no|not|that|nobody|they|one|a|an|its|he)\b", 3),
    _rule("is no", r"\b(?:is|are|was|were) (?:no|none)\b", 2),
    _rule("stands", r"\b(?:stands?|stood|standing)\b(?!-)", 0.4),
    _rule("held against", r"\b(?:held|holds?|hold|holding) (?:\w+ ){0,4}against\b", 0),
    _rule("anew", r"\banew\b", 0.1),
    _rule("nobody, somebody", r"\b(?:nobody|somebody|whoever|whatever)\b", 1),
    _rule("so many, so much", r"\bso (?:many|much|long)\b", 1),
)


class Text(NamedTuple):
    """A comment, string or paragraph with its place."""

    path: Path
    line: int
    text: str


def python_texts(path: Path) -> Iterator[Text]:
    """Yield the comments, string literals and parts of f-strings of a Python file; names of tests are not included."""
    source = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Text(path, token.start[0], token.string.lstrip("# "))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield Text(path, node.lineno, node.value)


def texts(path: Path) -> Iterator[Text]:
    """Yield the texts of a Python or Markdown file, or of every such file of a folder."""
    if path.is_dir():
        for file in sorted((*path.rglob("*.py"), *path.rglob("*.md"))):
            yield from texts(file)
    elif path.suffix == ".py":
        yield from python_texts(path)
    elif path.suffix == ".md" and path.is_file():
        prose = re.sub(
            r"```.*?```", lambda found: "\n" * found.group().count("\n"), path.read_text("utf-8"), flags=re.S
        )
        yield from (Text(path, number, line) for number, line in enumerate(prose.split("\n"), 1) if line.strip())


def counts(folders: tuple[str, ...] = FOLDERS) -> tuple[int, dict[str, int]]:
    """Return the number of words and the matches of each rule."""
    words, found = 0, dict.fromkeys((rule.name for rule in RULES), 0)
    for text in (text for folder in folders for text in texts(ROOT / folder)):
        if text.path == Path(__file__).resolve():
            continue
        words += len(_WORD.findall(text.text))
        for rule in RULES:
            found[rule.name] += len(rule.pattern.findall(text.text))
    return words, found


def main() -> None:
    """Print the counts of the whole project, or the matches of one rule."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folders", nargs="*", default=FOLDERS)
    parser.add_argument("--where", metavar="NAME", help="print the matches of the rules whose name contains NAME")
    options = parser.parse_args()
    if options.where is not None:
        for text in (text for folder in options.folders for text in texts(ROOT / folder)):
            for rule in RULES:
                if options.where in rule.name:
                    for match in rule.pattern.finditer(text.text):
                        line = text.line + text.text.count("\n", 0, match.start())
                        excerpt = " ".join(text.text[max(0, match.start() - 50) : match.end() + 50].split())
                        print(f"{text.path.relative_to(ROOT)}:{line}: [{rule.name}] {excerpt}")
        return
    words, found = counts(tuple(options.folders))
    print(
        f"{words:,} words of comments, strings and documentation\n\n{'':24}{'found':>7}{'per 10,000':>12}{'limit':>7}"
    )
    for rule in RULES:
        print(f"{rule.name:24}{found[rule.name]:7}{found[rule.name] * 1e4 / max(words, 1):12.1f}{rule.limit:7g}")


if __name__ == "__main__":
    main()
