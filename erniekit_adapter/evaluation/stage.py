"""The evaluate stage: base and tuned model answer the test examples; the answers are scored, compared and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from erniekit_adapter import __version__
from erniekit_adapter.architectures.families import takes_images
from erniekit_adapter.backends.environments.installed import Toolkit, find_erniekit
from erniekit_adapter.bundle.metrics import adapter_fingerprint, add_metrics
from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.document_type import AnyAnswer, DocumentType
from erniekit_adapter.errors import usage_error
from erniekit_adapter.evaluation.comparison import compare
from erniekit_adapter.evaluation.figures import summarize
from erniekit_adapter.evaluation.scoring import score_answer
from erniekit_adapter.files import (
    explaining_full_disk,
    fingerprint,
    read_json,
    read_lines,
    sha256,
    write_bytes,
    write_json,
)
from erniekit_adapter.locks import using
from erniekit_adapter.metrics import AnswerScore
from erniekit_adapter.predictors.structured import StructuredAnswers, structured_answers
from erniekit_adapter.predictors.toolkit import (
    GenerationSettings,
    ModelReply,
    Request,
    answer_in_toolkit,
    read_replies,
)
from erniekit_adapter.project.made_for import TRAIN_AGAIN, refuse_other_type
from erniekit_adapter.project.model_folder import local_model_dir, model_fingerprint, model_kind
from erniekit_adapter.project.run_records import TOOLKIT_DIR, read_training_manifest
from erniekit_adapter.project.schema import Project
from erniekit_adapter.temporary import remove_abandoned

SCHEMA_VERSION = 1
STAMP_SUFFIX = ".made-from.json"
_EXPORT_AGAIN = "run erniekit-adapter export PROJECT again"
_BUILD_AGAIN = "run erniekit-adapter data build PROJECT again"


@dataclass(frozen=True)
class TestExample:
    """A test example: the request and the expected answer."""

    id: str
    request: str
    expected: AnyAnswer


def evaluate(project: Project, console: Console) -> dict[str, Any]:
    """Answer the test examples with the base and with the tuned model, and return the results.

    Raises:
        UsageError: test examples, bundle or toolkit are missing, or belong to another document type; or the model
            takes images.
        AdapterError: generation failed; or another stage uses the evaluation or the bundle, trains the run, or writes
            its data.
    """
    writes, reads = [project.evaluation_dir, project.bundle_dir], [project.training_dir, project.data_dir]
    locks = using("evaluate", writes=writes, reads=reads, on_note=console.print)
    with locks, explaining_full_disk(project.evaluation_dir):
        return _evaluate(project, console)


def _evaluate(project: Project, console: Console) -> dict[str, Any]:
    if takes_images(model_kind(project.model.model_name_or_path)):
        finding = "the model takes images, and evaluate supports text models only"
        raise usage_error(project.model.model_name_or_path, finding, "serve the merged bundle and query the server")
    adapter, base_dir, document_type = native_adapter(project), local_model_dir(project), project.documents
    examples = read_test_examples(project)
    toolkit, folder = find_erniekit(), project.evaluation_dir
    folder.mkdir(parents=True, exist_ok=True)
    structured = _structured(project, toolkit, console)
    scores, replies = {}, {}
    for name, used in (("base", None), ("tuned", adapter)):
        remove_abandoned(folder, f"{name}.jsonl", alone=True)
        answers = folder / f"{name}.jsonl"
        replies[name] = _answers(project, toolkit, examples, base_dir, used, answers, structured, console)
        scores[name] = score(document_type, examples, replies[name])
    results = {
        "schema_version": SCHEMA_VERSION,
        "made_by": f"erniekit-adapter {__version__}",
        "document_type": document_type.record,
        "samples": len(examples),
        "base": _figures(document_type, scores["base"], replies["base"]),
        "tuned": _figures(document_type, scores["tuned"], replies["tuned"]),
        "comparison": compare(scores["base"], scores["tuned"]).as_json(),
        "test_lines": sha256(project.data_dir / "test.jsonl"),
        "adapter": read_json(project.bundle_dir / "manifest.json")["adapter"],
        "toolkit": {"name": "erniekit", "version": toolkit.version},
        "settings": project.evaluate.model_dump(),
        "structured": structured.as_json(),
    }
    write_json(folder / "results.json", results)
    _write_examples(folder / "samples.jsonl", examples, replies, scores)
    console.print(f"results: {folder / 'results.json'}")
    if not add_metrics(project.bundle_dir, results, document_type):
        console.print(
            "bundle: it is signed, so its model card was not changed; to add the figures, export and sign it again"
        )
    return results


def _structured(project: Project, toolkit: Toolkit, console: Console) -> StructuredAnswers:
    """Return whether both models' answers must match the schema of the document type."""
    setting, schema = project.evaluate.structured, project.documents.schema
    structured = structured_answers(setting, schema, toolkit.python, toolkit.versions)
    if structured.note:
        console.print(f"evaluate.structured: {structured.note}")
    return structured


def native_adapter(project: Project) -> Path:
    """Return the folder of the bundle's native adapter.

    Raises:
        UsageError: the native adapter is missing, was exported by an earlier version, belongs to another base
            model or document type, or the run was trained again after the export.
    """
    adapter = project.bundle_dir / "native"
    if not (adapter / "lora_config.json").is_file():
        is_exported = project.bundle_dir.exists()
        hint = "add native to export.formats" if is_exported else "run erniekit-adapter export PROJECT first"
        raise usage_error(adapter, "no native adapter to evaluate", hint)
    manifest = read_json(project.bundle_dir / "manifest.json")
    if isinstance(manifest, dict) and "adapter" not in manifest:
        raise usage_error(project.bundle_dir, "was exported by an earlier version", _EXPORT_AGAIN)
    try:
        toolkit, base = manifest["training"]["toolkit"]["name"], manifest["base_model"]["fingerprint"]
    except (KeyError, TypeError, IndexError) as error:
        path = project.bundle_dir / "manifest.json"
        raise usage_error(path, "is damaged: it is not the manifest of a bundle", _EXPORT_AGAIN) from error
    if toolkit != "erniekit":
        finding = "is PaddleFormers' adapter, and evaluate supports ERNIEKit only"
        raise usage_error(adapter, finding, "serve the peft bundle and query the server")
    if model_fingerprint(local_model_dir(project)) != base:
        finding, hint = "is not the base model of this bundle", f"restore that model, or {_EXPORT_AGAIN}"
        raise usage_error(local_model_dir(project), finding, hint)
    refuse_other_type(project, manifest, project.bundle_dir, TRAIN_AGAIN)
    _refuse_other_adapter(project, manifest["adapter"])
    return adapter


def _refuse_other_adapter(project: Project, exported: str) -> None:
    """Raise if the run was trained again, or for more steps, after the export of fingerprint `exported`."""
    training = read_training_manifest(project.training_dir)
    output = project.training_dir / TOOLKIT_DIR
    # Without weights, for example after an import, there is nothing to compare the bundle with.
    if training is None or training["adapter"] is None or not list(output.glob("*.safetensors")):
        return
    if adapter_fingerprint(output) != exported:
        finding = f"contains another adapter than {output}: the run was trained again, or longer, after the export"
        raise usage_error(project.bundle_dir, finding, _EXPORT_AGAIN)


def read_test_examples(project: Project) -> list[TestExample]:
    """Return the first `evaluate.max_samples` test examples of the data stage, in the order of the file.

    Raises:
        UsageError: the file is missing or empty, was changed after the data stage, or was made for another document
            type.
    """
    path, manifest = project.data_dir / "test.jsonl", project.data_dir / "manifest.json"
    if not path.is_file() or not manifest.is_file():
        raise usage_error(path, "no test examples yet", "run erniekit-adapter data build PROJECT first")
    made = read_json(manifest)
    if sha256(path) != made["files"]["test.jsonl"]["sha256"]:
        raise usage_error(path, "was changed after the data stage", _BUILD_AGAIN)
    refuse_other_type(project, made.get("settings", {}), path, _BUILD_AGAIN)
    lines = islice((line for _, line in read_lines(path) if line), project.evaluate.max_samples)
    document_type = project.documents
    examples = [_test_example(document_type, line) for line in lines]
    if not examples:
        raise usage_error(path, "contains no test examples", "add documents, or name some in data.test_sources")
    return examples


def _test_example(document_type: DocumentType, line: bytes) -> TestExample:
    found = orjson.loads(line)
    return TestExample(found["id"], found["src"][-1], document_type.read(json_text.parse(found["tgt"][-1])))


def _answers(
    project: Project,
    toolkit: Toolkit,
    examples: Sequence[TestExample],
    base_dir: Path,
    adapter: Path | None,
    answers: Path,
    structured: StructuredAnswers,
    console: Console,
) -> list[ModelReply]:
    limit, batch_size = project.evaluate.max_new_tokens, project.evaluate.batch_size
    settings = GenerationSettings(limit, batch_size, project.training.device, structured.schema)
    requests = [Request(example.id, example.request) for example in examples]
    # The base model's answers depend on these inputs only, so they are reused until one of the inputs changes.
    made_from = None if adapter else _made_from(base_dir, requests, settings, toolkit, structured)
    stamp = answers.with_suffix(STAMP_SUFFIX)
    if made_from and stamp.is_file() and read_json(stamp) == {**made_from, "answers": _sha256_of(answers)}:
        replies = read_replies(answers)
        console.print(f"{answers.stem}: {len(replies)} answers of an earlier evaluation reused")
        return replies
    with console.status(f"{answers.stem}: loading the model") as status:

        def show(done: int, total: int) -> None:
            status.update(f"{answers.stem}: {done} of {total} answered")

        replies = answer_in_toolkit(requests, toolkit, base_dir, adapter, settings, answers, show)
    if made_from:
        write_json(stamp, {**made_from, "answers": sha256(answers)})
    finished = sum(reply.finished for reply in replies)
    console.print(f"{answers.stem}: {len(replies)} answered, {finished} of them finished by the model")
    return replies


def _made_from(
    base_dir: Path,
    requests: Sequence[Request],
    settings: GenerationSettings,
    toolkit: Toolkit,
    structured: StructuredAnswers,
) -> dict[str, Any]:
    """Return all inputs of the base model's answers; weights by size and time, because hashing them is slow."""
    weights = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in base_dir.glob("*.safetensors")]
    return {
        "model": fingerprint([model_fingerprint(base_dir), sorted(weights)]),
        "requests": fingerprint([asdict(request) for request in requests]),
        # Without a schema the settings are those of earlier versions, so their answers are still reused.
        "settings": {name: value for name, value in asdict(settings).items() if value is not None},
        "toolkit": toolkit.version,
        **({"library": structured.library} if structured.library else {}),
    }


def _sha256_of(answers: Path) -> str | None:
    return sha256(answers) if answers.is_file() else None


def score(
    document_type: DocumentType, examples: Sequence[TestExample], replies: Sequence[ModelReply]
) -> list[AnswerScore]:
    """Score each answer against its expected answer."""
    return [
        score_answer(document_type, example.expected, reply.text, sample=example.id)
        for example, reply in zip(examples, replies, strict=True)
    ]


def _figures(
    document_type: DocumentType, scores: Sequence[AnswerScore], replies: Sequence[ModelReply]
) -> dict[str, Any]:
    tokens = sum(reply.answer_tokens for reply in replies)
    return {
        **summarize(document_type, scores).as_json(),
        "finished": sum(reply.finished for reply in replies) / len(replies),
        "mean_answer_tokens": tokens / len(replies),
    }


def _write_examples(
    path: Path,
    examples: Sequence[TestExample],
    replies: dict[str, list[ModelReply]],
    scores: dict[str, list[AnswerScore]],
) -> None:
    """Write one JSON line for each test example: expected answer, both answers and their scores."""
    lines = []
    for index, example in enumerate(examples):
        expected = example.expected.model_dump(mode="json", by_alias=True, exclude_none=True)
        line: dict[str, Any] = {"id": example.id, "expected": expected}
        for name in ("base", "tuned"):
            line[name] = {"answer": replies[name][index].text, "score": asdict(scores[name][index])}
        lines.append(orjson.dumps(line, default=str) + b"\n")
    write_bytes(path, b"".join(lines))
