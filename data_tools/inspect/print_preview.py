"""Print training examples and preferences as the model will see them, on a terminal or as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from data_tools.inspect.preview import PageFile, PreviewedExample, PreviewedPreference
from data_tools.pipeline.manifest import PREFERENCES
from data_tools.pipeline.split import SplitName
from erniekit_adapter.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# Use of the marked part, by split.
_MARKS: dict[SplitName, str] = {"train": "trained", "eval": "measured", "test": "expected"}
_LABEL_WIDTH = 9
_FACT_WIDTH = 9
_READ, _MARKED = "│", "▌"
_LINE_END = "⏎"
_SPECIAL_PIECE = r"<\|[^<|>\s]{1,64}\|>|</s>"
_WORD = re.compile(r"\w+|\W")
# Longer answers are not compared word by word, because the time grows with the square of the length.
_MOST_CHANGED_WORDS = 50_000


def print_preview(examples: Iterable[PreviewedExample], console: Console | None = None) -> int:
    """Print examples completely and return their number.

    `│` marks the text that the model reads and `▌` the text that it is trained to write, in colour if the terminal has
    colours. ⏎ is a line end in the text; other line ends are the terminal's. Plain text is not wrapped.
    """
    console = console or _console()
    shown = 0
    for example in examples:
        shown += 1
        _print_title(_name(example), console)
        _print_facts(_facts(example), console)
        _print_text("reads", _READ, _text(example.text.untrained), console)
        _print_text(_MARKS[example.split], _MARKED, _text(example.text.trained, "green"), console)
    return shown


def print_preferences(preferences: Iterable[PreviewedPreference], console: Console | None = None) -> int:
    """Print preferences with the differences between both answers in ⟦ ⟧; return their number."""
    console = console or _console()
    shown = 0
    for preference in preferences:
        shown += 1
        _print_title(f"{PREFERENCES[preference.split]}, line {preference.number}", console)
        _print_facts([*_page_facts(preference.pages, with_request=True), *_note_facts(preference.note)], console)
        chosen, rejected = _differences(preference.chosen, preference.rejected)
        _print_text("reads", _READ, _text(preference.prompt), console)
        _print_text("chosen", _MARKED, chosen, console)
        _print_text("rejected", _MARKED, rejected, console)
    return shown


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def _name(example: PreviewedExample) -> str:
    parts = [f"{example.split}.jsonl, line {example.number}" if example.number else example.split]
    if example.traced:
        parts.append(example.traced.task)
    if example.tokens is not None:
        parts.append(f"{example.tokens:,} tokens")
    return " · ".join(parts)


def _facts(example: PreviewedExample) -> list[tuple[str, str]]:
    traced = example.traced
    facts = []
    if traced:
        facts.append(("from", f"{traced.location}  {traced.document_id}"))
    else:
        facts.append(("from", "not stored: a build stores it for the first examples of each task"))
    facts += _page_facts(example.pages, with_request=example.with_pages)
    if traced and traced.faults:
        facts.append(("faults", ", ".join(traced.faults)))
    if traced and traced.left_out:
        facts.append(("left out", ", ".join(traced.left_out)))
    return facts + _note_facts(example.note)


def _page_facts(pages: Sequence[PageFile], *, with_request: bool) -> list[tuple[str, str]]:
    seen = "" if with_request else "; the model does not see it"
    return [("page", f"{page.path}  {page.about}{seen}") for page in pages]


def _note_facts(note: str) -> list[tuple[str, str]]:
    return [("roles", f"in plain words, without the tokens that the toolkit adds: {note}")] if note else []


def _print_title(name: str, console: Console) -> None:
    from rich.text import Text

    rule = "─" * 4
    console.print(Text.assemble((f"\n{rule} ", "dim"), (printable(name), "bold"), (f" {rule}", "dim")), soft_wrap=True)


def _print_facts(facts: Iterable[tuple[str, str]], console: Console) -> None:
    from rich.text import Text

    for name, value in facts:
        text = printable(value).replace("\n", _LINE_END)
        console.print(Text.assemble((f"{name:<{_FACT_WIDTH}}", "dim"), text), soft_wrap=True)


def _text(text: str, style: str = "") -> Text:
    """Return a text with its special tokens coloured."""
    from rich.text import Text

    found = Text(printable(text), style)
    found.highlight_regex(_SPECIAL_PIECE, "bold magenta")
    return found


def _print_text(label: str, bar: str, text: Text, console: Console) -> None:
    """Print a text after a bar; its first row starts with the label."""
    from rich.text import Text

    width = console.width - _LABEL_WIDTH - 3
    lines = text.split("\n", allow_blank=True)
    for line in lines[:-1]:
        line.append(_LINE_END, "dim")
    for line in lines:
        # In a file or a pipe a line of the text is not folded.
        for row in _folded(line, width) if console.is_terminal and width > 1 else [line]:
            head = (f"{label:>{_LABEL_WIDTH}} {bar} ", text.style if bar == _MARKED else "dim")
            console.print(Text.assemble(head, row), soft_wrap=True)
            label = ""


def _folded(line: Text, width: int) -> Iterable[Text]:
    """Fold a line into rows of `width` columns as a terminal does, without changing a character."""
    from rich.cells import chop_cells

    ends = accumulate(len(row) for row in chop_cells(line.plain, width))
    return line.divide(list(ends)[:-1])


def _differences(chosen: str, rejected: str) -> tuple[Text, Text]:
    """Return both answers, with marks around the words that the other one does not have."""
    from rapidfuzz.distance import Levenshtein
    from rich.text import Text

    left, right = _WORD.findall(printable(chosen)), _WORD.findall(printable(rejected))
    texts = Text(style="green"), Text(style="red")
    if max(len(left), len(right)) > _MOST_CHANGED_WORDS:
        texts[0].append(printable(chosen))
        texts[1].append(printable(rejected))
        return texts
    for part in Levenshtein.opcodes(left, right):
        words = left[part.src_start : part.src_end], right[part.dest_start : part.dest_end]
        for text, own in zip(texts, words, strict=True):
            if part.tag == "equal":
                text.append("".join(own))
            elif own:
                text.append(f"⟦{''.join(own)}⟧", "bold reverse")
    return texts
