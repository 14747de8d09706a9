"""Show training examples as the model will see them, word for word, with the trained part marked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import orjson

from data_tools.examples.building import TrainingExample
from data_tools.formats.preferences import parse_preference
from data_tools.formats.training_examples import parse_example, parse_test_example
from data_tools.inspect.chat_prompt import ModelText, NoPromptError, load_chat_template, prompting
from data_tools.inspect.data_folder import (
    BUILD_AGAIN,
    TracedExample,
    manifest_format,
    parse_traced_example,
    read_manifest,
    read_traced_examples,
    read_whole_lines,
    request_prompts,
    shown_images,
)
from data_tools.pipeline.manifest import PREFERENCES, SAMPLES, DataManifest
from data_tools.pipeline.split import SplitName
from data_tools.pipeline.tokens import token_counter
from erniekit_adapter.errors import AdapterError, failure, usage_error


@dataclass(frozen=True)
class PageFile:
    """A page's file and its size.

    Attributes:
        path: path in the source or in the example.
        about: its size in pixels and bytes, or why it cannot be shown.
    """

    path: Path
    about: str


@dataclass(frozen=True)
class PreviewedExample:
    """A training example as the model will see it.

    Attributes:
        split: its split.
        number: its line in the split's file, from 1; None if it comes from `samples.jsonl`.
        traced: its origin; None if it is not known, after the first examples of each task.
        example: request and answer.
        text: the text that the model sees.
        note: why the roles are in plain words; empty if the text equals that of training.
        pages: pages of the document.
        tokens: tokens of request and answer together; None if they are not known.
        with_pages: whether the request includes the pages.
    """

    split: SplitName
    number: int | None
    traced: TracedExample | None
    example: TrainingExample
    text: ModelText
    note: str
    pages: tuple[PageFile, ...]
    tokens: int | None
    with_pages: bool


@dataclass(frozen=True)
class PreviewedPreference:
    """A preference for DPO as the model will see it.

    Attributes:
        split: its split.
        number: its line in the split's file, from 1.
        prompt: the text of the request.
        chosen, rejected: the two answers.
        note: why the roles are in plain words; empty if the text equals that of training.
        pages: pages of the request.
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
) -> Iterator[PreviewedExample]:
    """Yield the first examples of a split as the model will see them.

    Args:
        data_dir: a folder that `build` wrote.
        count: maximum number of examples, from 1.
        split: train, eval or test.
        task: only examples of this task, of which the build keeps a few.
        model_dir: the base model, for its chat template and tokenizer; None if it is not a local folder.

    Raises:
        UsageError: the folder is not a data folder, or has no such example.
        AdapterError: a file of the folder cannot be read.
    """
    manifest = read_manifest(data_dir)
    traced_examples = [traced for traced in read_traced_examples(data_dir) if traced.split == split]
    if task is None:
        examples = _examples_of_split(data_dir, split, manifest, traced_examples)
    else:
        examples = _examples_of_task(data_dir, task, manifest, traced_examples)
    found = 0
    with _texts(manifest, model_dir) as text_of:
        count_tokens = _counter(model_dir, manifest)
        for number, traced, example in islice(examples, count):
            found += 1
            text, note = text_of(example)
            tokens = traced.tokens if traced else None
            if tokens is None and count_tokens:
                tokens = count_tokens(example.request) + count_tokens(example.answer_text)
            pages = tuple(map(_page_file, shown_images(traced, example)))
            yield PreviewedExample(split, number, traced, example, text, note, pages, tokens, bool(example.images))
    if not found:
        raise _no_example(data_dir, split, task, traced_examples)


def preview_preferences(
    data_dir: Path, count: int, *, split: SplitName = "train", model_dir: Path | None = None
) -> Iterator[PreviewedPreference]:
    """Yield the first preferences for DPO; arguments and errors are those of `preview`."""
    manifest = read_manifest(data_dir)
    path = data_dir / PREFERENCES.get(split, "")
    if split not in PREFERENCES or not path.is_file():
        raise usage_error(data_dir, f"contains no preferences of {split}", "set data.preference: true and build again")
    found = 0
    with _texts(manifest, model_dir) as text_of:
        for number, raw in islice(read_whole_lines(path), count):
            found += 1
            try:
                parsed = parse_preference(raw, data_dir)
            except ValueError as error:
                raise failure(f"{path}:{number}", str(error), BUILD_AGAIN) from error
            text, note = text_of(TrainingExample("", "", parsed.request, parsed.chosen, parsed.images))
            pages = tuple(map(_page_file, parsed.images))
            yield PreviewedPreference(split, number, text.untrained, parsed.chosen, parsed.rejected, note, pages)
    if not found:
        raise usage_error(path, "contains no preference", "dpo-refused.jsonl lists the reasons")


def _examples_of_split(
    data_dir: Path, split: SplitName, manifest: DataManifest, traced_examples: list[TracedExample]
) -> Iterator[tuple[int | None, TracedExample | None, TrainingExample]]:
    """Yield the examples of a split's file, each with its origin if that is known: both files have the same order."""
    data_format, path = manifest_format(manifest), data_dir / f"{split}.jsonl"
    known = iter(traced_examples)
    traced = next(known, None)
    for number, raw in read_whole_lines(path):
        try:
            example = (
                parse_test_example(raw, data_dir) if split == "test" else parse_example(raw, data_format, data_dir)
            )
        except ValueError as error:
            raise failure(f"{path}:{number}", str(error), BUILD_AGAIN) from error
        if traced and _belongs_to(traced, raw, example):
            yield number, traced, example
            traced = next(known, None)
        else:
            yield number, None, example


def _belongs_to(traced: TracedExample, raw: bytes, example: TrainingExample) -> bool:
    """Return whether an origin belongs to a line; IDs of test examples can have a number."""
    if traced.split == "test":
        name = traced.document_id
        return example.document_id == name or example.document_id.rpartition("#")[0] == name
    return bool(orjson.loads(raw) == traced.text)


def _examples_of_task(
    data_dir: Path, task: str, manifest: DataManifest, traced_examples: list[TracedExample]
) -> Iterator[tuple[int | None, TracedExample | None, TrainingExample]]:
    data_format = manifest_format(manifest)
    for traced in traced_examples:
        if traced.task == task:
            yield None, traced, parse_traced_example(traced, data_format, data_dir)


def _no_example(
    data_dir: Path, split: SplitName, task: str | None, traced_examples: list[TracedExample]
) -> AdapterError:
    if task is None:
        return usage_error(data_dir / f"{split}.jsonl", "contains no example", "choose another split")
    found = ", ".join(sorted({traced.task for traced in traced_examples})) or "none"
    return usage_error(
        data_dir / SAMPLES,
        f"contains no example of {split} with the task {task}; tasks found: {found}",
        "choose one of them",
    )


@contextmanager
def _texts(
    manifest: DataManifest, model_dir: Path | None
) -> Iterator[Callable[[TrainingExample], tuple[ModelText, str]]]:
    """Yield a function that returns the text the model sees, and a note if it is only the plain text."""
    data_format = manifest_format(manifest)
    try:
        if model_dir is None:
            raise NoPromptError("the model is not a local folder")
        if data_format != "erniekit":
            raise NoPromptError(f"in the format {data_format} the toolkit combines pages and text itself")
        template = load_chat_template(model_dir)
    except NoPromptError as error:
        note = str(error)
        yield lambda example: (_plain_text(example), note)
        return
    with prompting(template) as make:

        def text_of(example: TrainingExample) -> tuple[ModelText, str]:
            try:
                return make(example.request, example.answer_text), ""
            except NoPromptError as error:
                return _plain_text(example), str(error)

        yield text_of


def _plain_text(example: TrainingExample) -> ModelText:
    """Return request and answer with roles in plain words and a placeholder for each page."""
    pages = "".join(f"[page {number}]\n" for number in range(1, len(example.images) + 1))
    return ModelText(f"user:\n{pages}{example.request}\nassistant:\n", example.answer_text)


def _counter(model_dir: Path | None, manifest: DataManifest) -> Callable[[str], int] | None:
    tokenizer = model_dir / "tokenizer.model" if model_dir else None
    try:
        if tokenizer is None or not tokenizer.is_file():
            return None
        return token_counter(tokenizer, request_prompts(manifest).constant_part)
    except AdapterError:  # the preview also works without token counts
        return None


def _page_file(path: Path) -> PageFile:
    from data_tools.pages.images import inspect_page

    try:
        page = inspect_page(path)
        size_kb = path.stat().st_size / 1000
    except (ValueError, OSError) as error:
        return PageFile(path, f"cannot be shown: {error}")
    return PageFile(path, f"{page.width_px} × {page.height_px} px, {size_kb:,.0f} kB")
