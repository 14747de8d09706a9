"""What the model will see of the lines that a build wrote, word for word, with the trained part apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import orjson

from data_tools.lines.formats import read_check_line, read_training_line
from data_tools.lines.preference_lines import read_preference_line
from data_tools.look.built import (
    BUILD_AGAIN,
    Sample,
    data_format,
    read_manifest,
    read_samples,
    read_whole_lines,
    sample_pair,
    shown_images,
)
from data_tools.look.chat_prompt import ModelText, NoPromptError, load_chat_template, prompting
from data_tools.pairs.pairs import Pair
from data_tools.stage.data_manifest import PREFERENCES, SAMPLES, DataManifest
from data_tools.stage.split import SplitName
from data_tools.stage.tokens import token_counter
from erniekit_adapter.errors import AdapterError, fail, misuse


@dataclass(frozen=True)
class PageFile:
    """A page's file, and what is in it.

    Attributes:
        path: as the source or the line gives it.
        about: its size in pixels and bytes, or what is wrong with it.
    """

    path: Path
    about: str


@dataclass(frozen=True)
class PreviewedLine:
    """A line as the model will see it.

    Attributes:
        split: where it stands.
        number: its line in the split's file, from 1; None for one of `samples.jsonl`.
        sample: what it was made of; None where that is not known, beyond the first of each task.
        pair: what is asked and answered.
        text: what the model sees of it.
        note: why roles are in plain words; empty where the text is that of training, word for word.
        pages: the document's.
        tokens: of request and answer together; None where they are not known.
        with_pages: whether the pages go with the request.
    """

    split: SplitName
    number: int | None
    sample: Sample | None
    pair: Pair
    text: ModelText
    note: str
    pages: tuple[PageFile, ...]
    tokens: int | None
    with_pages: bool


@dataclass(frozen=True)
class PreviewedPreference:
    """A line for DPO: what the model sees, the answer to prefer and the one to avoid.

    Attributes:
        split: where it stands.
        number: its line in the split's file, from 1.
        prompt: what the model reads.
        chosen, rejected: the answers.
        note: why roles are in plain words; empty where they are those of training.
        pages: go with the request.
    """

    split: SplitName
    number: int
    prompt: str
    chosen: str
    rejected: str
    note: str
    pages: tuple[PageFile, ...]


def preview(
    data_dir: Path, count: int, *, split: SplitName = "train", task: str | None = None, model_dir: Path | None = None
) -> Iterator[PreviewedLine]:
    """Give the first lines of a split as the model will see them.

    Args:
        data_dir: a folder that `build` wrote.
        count: at most so many, from 1.
        split: train, eval or test.
        task: only lines of this task, of which the build keeps a few.
        model_dir: the base model, whose chat template and tokenizer are used; None where it is no local folder.

    Raises:
        UsageError: the folder is no data folder, or holds no such line.
        AdapterError: a file of it cannot be read.
    """
    manifest = read_manifest(data_dir)
    samples = [sample for sample in read_samples(data_dir) if sample.split == split]
    if task is None:
        lines = _lines_of_split(data_dir, split, manifest, samples)
    else:
        lines = _lines_of_task(data_dir, task, manifest, samples)
    found = 0
    with _texts(manifest, model_dir) as text_of:
        count_tokens = _counter(model_dir)
        for number, sample, pair in islice(lines, count):
            found += 1
            text, note = text_of(pair)
            tokens = sample.tokens if sample else None
            if tokens is None and count_tokens:
                tokens = count_tokens(pair.request) + count_tokens(pair.answer_text)
            pages = tuple(map(_look_at, shown_images(sample, pair)))
            yield PreviewedLine(split, number, sample, pair, text, note, pages, tokens, bool(pair.images))
    if not found:
        raise _nothing(data_dir, split, task, samples)


def preview_preferences(
    data_dir: Path, count: int, *, split: SplitName = "train", model_dir: Path | None = None
) -> Iterator[PreviewedPreference]:
    """Give the first lines for DPO; takes and raises what `preview` does."""
    manifest = read_manifest(data_dir)
    path = data_dir / PREFERENCES.get(split, "")
    if split not in PREFERENCES or not path.is_file():
        raise misuse(data_dir, f"holds no preferences of {split}", "set data.preference: true and build again")
    found = 0
    with _texts(manifest, model_dir) as text_of:
        for number, raw in islice(read_whole_lines(path), count):
            found += 1
            try:
                said = read_preference_line(raw, data_dir)
            except ValueError as error:
                raise fail(f"{path}:{number}", str(error), BUILD_AGAIN) from error
            text, note = text_of(Pair("", "", said.request, said.chosen, said.images))
            pages = tuple(map(_look_at, said.images))
            yield PreviewedPreference(split, number, text.untrained, said.chosen, said.rejected, note, pages)
    if not found:
        raise misuse(path, "holds no line", "dpo-refused.jsonl tells why none of the answers of models could be used")


def _lines_of_split(
    data_dir: Path, split: SplitName, manifest: DataManifest, samples: list[Sample]
) -> Iterator[tuple[int | None, Sample | None, Pair]]:
    """The lines of a split's file, each with the sample of it where there is one: both are in the same order."""
    form, path = data_format(manifest), data_dir / f"{split}.jsonl"
    known = iter(samples)
    sample = next(known, None)
    for number, raw in read_whole_lines(path):
        try:
            pair = read_check_line(raw, data_dir) if split == "test" else read_training_line(raw, form, data_dir)
        except ValueError as error:
            raise fail(f"{path}:{number}", str(error), BUILD_AGAIN) from error
        if sample and _is_of(sample, raw, pair):
            yield number, sample, pair
            sample = next(known, None)
        else:
            yield number, None, pair


def _is_of(sample: Sample, raw: bytes, pair: Pair) -> bool:
    """Whether a sample is of this line; test lines have an id, with a number where a document comes again."""
    if sample.split == "test":
        name = sample.document_id
        return pair.document_id == name or pair.document_id.rpartition("#")[0] == name
    return bool(orjson.loads(raw) == sample.text)


def _lines_of_task(
    data_dir: Path, task: str, manifest: DataManifest, samples: list[Sample]
) -> Iterator[tuple[int | None, Sample | None, Pair]]:
    form = data_format(manifest)
    for sample in samples:
        if sample.task == task:
            yield None, sample, sample_pair(sample, form, data_dir)


def _nothing(data_dir: Path, split: SplitName, task: str | None, samples: list[Sample]) -> AdapterError:
    if task is None:
        return misuse(data_dir / f"{split}.jsonl", "holds no line", "choose another split")
    found = ", ".join(sorted({sample.task for sample in samples})) or "none"
    return misuse(data_dir / SAMPLES, f"has no {task} line of {split}; tasks found: {found}", "choose one of them")


@contextmanager
def _texts(manifest: DataManifest, model_dir: Path | None) -> Iterator[Callable[[Pair], tuple[ModelText, str]]]:
    """Give a function for what the model sees of a pair, and a note where that is no more than the line says."""
    form = data_format(manifest)
    try:
        if model_dir is None:
            raise NoPromptError("the model is no local folder")
        if form != "erniekit":
            raise NoPromptError(f"of lines in the form {form}, the toolkit puts pages and text together itself")
        template = load_chat_template(model_dir)
    except NoPromptError as error:
        note = str(error)
        yield lambda pair: (_plain_text(pair), note)
        return
    with prompting(template) as make:

        def text_of(pair: Pair) -> tuple[ModelText, str]:
            try:
                return make(pair.request, pair.answer_text), ""
            except NoPromptError as error:
                return _plain_text(pair), str(error)

        yield text_of


def _plain_text(pair: Pair) -> ModelText:
    """Request and answer with their roles in plain words, and a place for each page."""
    pages = "".join(f"[page {number}]\n" for number in range(1, len(pair.images) + 1))
    return ModelText(f"user:\n{pages}{pair.request}\nassistant:\n", pair.answer_text)


def _counter(model_dir: Path | None) -> Callable[[str], int] | None:
    tokenizer = model_dir / "tokenizer.model" if model_dir else None
    try:
        return token_counter(tokenizer) if tokenizer and tokenizer.is_file() else None
    except AdapterError:  # a tokenizer that cannot be read keeps nobody from looking
        return None


def _look_at(path: Path) -> PageFile:
    from data_tools.pages.images import look_at

    try:
        page = look_at(path)
        size_kb = path.stat().st_size / 1000
    except (ValueError, OSError) as error:
        return PageFile(path, f"cannot be shown: {error}")
    return PageFile(path, f"{page.width_px} × {page.height_px} px, {size_kb:,.0f} kB")
