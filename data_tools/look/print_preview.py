"""Lines and preferences as the model will see them, on a terminal or as plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from data_tools.look.built import visible
from data_tools.look.preview import PageFile, PreviewedLine, PreviewedPreference
from data_tools.stage.data_manifest import PREFERENCES
from data_tools.stage.split import SplitName

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# What becomes of the marked part.
_MARKS: dict[SplitName, str] = {"train": "trained", "eval": "measured", "test": "expected"}
_LABEL_WIDTH = 9
_FACT_WIDTH = 9
_READ, _MARKED = "│", "▌"
_LINE_END = "⏎"
_SPECIAL_PIECE = r"<\|[^<|>\s]{1,64}\|>|</s>"
_WORD = re.compile(r"\w+|\W")
# Answers that differ in more words than this are not compared word by word, which takes the square of their number.
_MOST_CHANGED_WORDS = 50_000


def print_preview(lines: Iterable[PreviewedLine], console: Console | None = None) -> int:
    """Print lines, each whole, and return how many there were.

    What the model reads stands behind │ and what it is trained to write behind ▌, in colour where the terminal has
    colours. ⏎ is a line's end in the text; other line ends are the terminal's. Plain text is not wrapped.
    """
    console = console or _console()
    shown = 0
    for line in lines:
        shown += 1
        _print_title(_name(line), console)
        _print_facts(_facts(line), console)
        _print_text("reads", _READ, _text(line.text.untrained), console)
        _print_text(_MARKS[line.split], _MARKED, _text(line.text.trained, "green"), console)
    return shown


def print_preferences(preferences: Iterable[PreviewedPreference], console: Console | None = None) -> int:
    """Print lines for DPO, what differs between the answers in ⟦ ⟧, and return how many there were."""
    console = console or _console()
    shown = 0
    for line in preferences:
        shown += 1
        _print_title(f"{PREFERENCES[line.split]}, line {line.number}", console)
        _print_facts([*_page_facts(line.pages, with_request=True), *_note_facts(line.note)], console)
        chosen, rejected = _differences(line.chosen, line.rejected)
        _print_text("reads", _READ, _text(line.prompt), console)
        _print_text("chosen", _MARKED, chosen, console)
        _print_text("rejected", _MARKED, rejected, console)
    return shown


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def _name(line: PreviewedLine) -> str:
    parts = [f"{line.split}.jsonl, line {line.number}" if line.number else line.split]
    if line.sample:
        parts.append(line.sample.task)
    if line.tokens is not None:
        parts.append(f"{line.tokens:,} tokens")
    return " · ".join(parts)


def _facts(line: PreviewedLine) -> list[tuple[str, str]]:
    sample = line.sample
    facts = []
    if sample:
        facts.append(("from", f"{sample.place}  {sample.document_id}"))
    else:
        facts.append(("from", "not kept: the build keeps it of the first lines of each task"))
    facts += _page_facts(line.pages, with_request=line.with_pages)
    if sample and sample.faults:
        facts.append(("faults", ", ".join(sample.faults)))
    if sample and sample.left_out:
        facts.append(("left out", ", ".join(sample.left_out)))
    return facts + _note_facts(line.note)


def _page_facts(pages: Sequence[PageFile], *, with_request: bool) -> list[tuple[str, str]]:
    seen = "" if with_request else "; the model does not see it"
    return [("page", f"{page.path}  {page.about}{seen}") for page in pages]


def _note_facts(note: str) -> list[tuple[str, str]]:
    return [("roles", f"in plain words, without what the toolkit puts around them: {note}")] if note else []


def _print_title(name: str, console: Console) -> None:
    from rich.text import Text

    rule = "─" * 4
    console.print(Text.assemble((f"\n{rule} ", "dim"), (visible(name), "bold"), (f" {rule}", "dim")), soft_wrap=True)


def _print_facts(facts: Iterable[tuple[str, str]], console: Console) -> None:
    from rich.text import Text

    for name, value in facts:
        text = visible(value).replace("\n", _LINE_END)
        console.print(Text.assemble((f"{name:<{_FACT_WIDTH}}", "dim"), text), soft_wrap=True)


def _text(text: str, style: str = "") -> Text:
    """A text with its special pieces coloured."""
    from rich.text import Text

    found = Text(visible(text), style)
    found.highlight_regex(_SPECIAL_PIECE, "bold magenta")
    return found


def _print_text(label: str, bar: str, text: Text, console: Console) -> None:
    """Print a text behind a bar; its first row has the label in front."""
    from rich.text import Text

    width = console.width - _LABEL_WIDTH - 3
    lines = text.split("\n", allow_blank=True)
    for line in lines[:-1]:
        line.append(_LINE_END, "dim")
    for line in lines:
        # In a file or a pipe a line of the text stays one.
        for row in _folded(line, width) if console.is_terminal and width > 1 else [line]:
            head = (f"{label:>{_LABEL_WIDTH}} {bar} ", text.style if bar == _MARKED else "dim")
            console.print(Text.assemble(head, row), soft_wrap=True)
            label = ""


def _folded(line: Text, width: int) -> Iterable[Text]:
    """A line in rows of so many columns, without a character more or less, as a terminal folds it."""
    from rich.cells import chop_cells

    ends = accumulate(len(row) for row in chop_cells(line.plain, width))
    return line.divide(list(ends)[:-1])


def _differences(chosen: str, rejected: str) -> tuple[Text, Text]:
    """Both answers, with marks around what the other one does not have."""
    from rapidfuzz.distance import Levenshtein
    from rich.text import Text

    left, right = _WORD.findall(visible(chosen)), _WORD.findall(visible(rejected))
    texts = Text(style="green"), Text(style="red")
    if max(len(left), len(right)) > _MOST_CHANGED_WORDS:
        texts[0].append(visible(chosen))
        texts[1].append(visible(rejected))
        return texts
    for part in Levenshtein.opcodes(left, right):
        words = left[part.src_start : part.src_end], right[part.dest_start : part.dest_end]
        for text, own in zip(texts, words, strict=True):
            if part.tag == "equal":
                text.append("".join(own))
            elif own:
                text.append(f"⟦{''.join(own)}⟧", "bold reverse")
    return texts
