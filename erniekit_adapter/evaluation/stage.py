"""The evaluate stage: the test lines answered by base and tuned model, scored, compared, and written down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from erniekit_adapter import __version__
from erniekit_adapter.adapters.measured import adapter_fingerprint, add_metrics
from erniekit_adapter.answering.toolkit import GenerationSettings, Reply, Request, answer_in_toolkit, read_replies
from erniekit_adapter.backends.installed import Toolkit, find_erniekit
from erniekit_adapter.errors import misuse
from erniekit_adapter.evaluation.comparison import compare
from erniekit_adapter.evaluation.metrics import summarize
from erniekit_adapter.evaluation.scoring import SampleScore, score_sample
from erniekit_adapter.files import (
    explaining_full_disk,
    fingerprint,
    read_json,
    read_lines,
    sha256,
    write_bytes,
    write_json,
)
from erniekit_adapter.invoice import jsontext
from erniekit_adapter.invoice.answer import Answer, read_answer
from erniekit_adapter.locks import using
from erniekit_adapter.project.model_folder import local_model_dir, model_fingerprint, model_kind
from erniekit_adapter.project.run_records import TOOLKIT_DIR, read_training_manifest
from erniekit_adapter.project.schema import Project
from erniekit_adapter.temporary import remove_abandoned

SCHEMA_VERSION = 1
STAMP_SUFFIX = ".made-from.json"


@dataclass(frozen=True)
class TestSample:
    """A test line: what is asked, and what the answer has to say."""

    id: str
    request: str
    expected: Answer


def evaluate(project: Project, console: Console) -> dict[str, Any]:
    """Answer the test lines with the base and with the tuned model, and return the results.

    Raises:
        UsageError: there are no test lines, no bundle, or no toolkit to answer in; or the model takes images.
        AdapterError: generation failed; or another stage uses the evaluation or the bundle, trains the run, or writes
            its data.
    """
    writes, reads = [project.evaluation_dir, project.bundle_dir], [project.training_dir, project.data_dir]
    held = using("evaluate", writes=writes, reads=reads, on_note=console.print)
    with held, explaining_full_disk(project.evaluation_dir):
        return _evaluate(project, console)


def _evaluate(project: Project, console: Console) -> dict[str, Any]:
    if model_kind(project.model.model_name_or_path) in ("vl-moe", "ocr-vl"):
        what = "takes images, and only text models are asked here so far"
        raise misuse(project.model.model_name_or_path, what, "serve the bundle's merged form and ask it there")
    adapter, base_dir = native_adapter(project), local_model_dir(project)
    samples = read_test_samples(project)
    toolkit, folder = find_erniekit(), project.evaluation_dir
    folder.mkdir(parents=True, exist_ok=True)
    scores, replies = {}, {}
    for name, used in (("base", None), ("tuned", adapter)):
        remove_abandoned(folder, f"{name}.jsonl", alone=True)
        replies[name] = _answers(project, toolkit, samples, base_dir, used, folder / f"{name}.jsonl", console)
        scores[name] = score(samples, replies[name])
    results = {
        "schema_version": SCHEMA_VERSION,
        "made_by": f"erniekit-adapter {__version__}",
        "samples": len(samples),
        "base": _figures(scores["base"], replies["base"]),
        "tuned": _figures(scores["tuned"], replies["tuned"]),
        "comparison": asdict(compare(scores["base"], scores["tuned"])),
        "test_lines": sha256(project.data_dir / "test.jsonl"),
        "adapter": read_json(project.bundle_dir / "manifest.json")["adapter"],
        "toolkit": {"name": "erniekit", "version": toolkit.version},
        "settings": project.evaluate.model_dump(),
    }
    write_json(folder / "results.json", results)
    _write_samples(folder / "samples.jsonl", samples, replies, scores)
    console.print(f"results: {folder / 'results.json'}")
    if not add_metrics(project.bundle_dir, results):
        console.print(
            "bundle: it is signed, so its model card stays as it is; export and sign it again for the figures"
        )
    return results


def native_adapter(project: Project) -> Path:
    """The bundle's native adapter.

    Raises:
        UsageError: there is none, an earlier version exported it, the base model is not the one it was made for, or
            the run was trained again since.
    """
    adapter = project.bundle_dir / "native"
    if not (adapter / "lora_config.json").is_file():
        remedy = "run make export first" if not project.bundle_dir.exists() else "add native to export.forms"
        raise misuse(adapter, "no adapter to evaluate", remedy)
    manifest = read_json(project.bundle_dir / "manifest.json")
    if "adapter" not in manifest:
        raise misuse(project.bundle_dir, "was exported by an earlier version", "run make export again")
    if manifest["training"]["toolkit"]["name"] != "erniekit":
        what = "is PaddleFormers' adapter, and answers are asked of ERNIEKit's alone so far"
        raise misuse(adapter, what, "serve the bundle's peft form and ask it there")
    if model_fingerprint(local_model_dir(project)) != manifest["base_model"]["fingerprint"]:
        raise misuse(local_model_dir(project), "is not the base model of this bundle", "put that one back")
    _refuse_other_adapter(project, manifest["adapter"])
    return adapter


def _refuse_other_adapter(project: Project, exported: str) -> None:
    """Refuse a bundle that was exported before its run was trained again or became longer."""
    training = read_training_manifest(project.training_dir)
    output = project.training_dir / TOOLKIT_DIR
    # Without weights, as after an import or a clean-up, the bundle is all there is.
    if training is None or training["adapter"] is None or not list(output.glob("*.safetensors")):
        return
    if adapter_fingerprint(output) != exported:
        what = f"holds another adapter than {output}: the run was trained again or became longer after the export"
        raise misuse(project.bundle_dir, what, "run make export again")


def read_test_samples(project: Project) -> list[TestSample]:
    """The test lines of the data stage, at most `evaluate.max_samples` of them, in the file's order.

    Raises:
        UsageError: there are none, or they are not what the data stage wrote.
    """
    path, manifest = project.data_dir / "test.jsonl", project.data_dir / "manifest.json"
    if not path.is_file() or not manifest.is_file():
        raise misuse(path, "there are no test lines", "run make data first")
    if sha256(path) != read_json(manifest)["files"]["test.jsonl"]["sha256"]:
        raise misuse(path, "is not what the data stage wrote", "run make data again")
    samples = [_sample(line) for _, line in read_lines(path) if line][: project.evaluate.max_samples]
    if not samples:
        raise misuse(path, "holds no sample to evaluate", "add documents, or name some in data.test_sources")
    return samples


def _sample(line: bytes) -> TestSample:
    found = orjson.loads(line)
    return TestSample(found["id"], found["src"][-1], read_answer(jsontext.parse(found["tgt"][-1])))


def _answers(
    project: Project,
    toolkit: Toolkit,
    samples: Sequence[TestSample],
    base_dir: Path,
    adapter: Path | None,
    answers: Path,
    console: Console,
) -> list[Reply]:
    settings = GenerationSettings(project.evaluate.max_new_tokens, project.evaluate.batch_size, project.training.device)
    requests = [Request(sample.id, sample.request) for sample in samples]
    # The base model answers the same to the same: what it said is used again until anything it depends on changes.
    made_from = None if adapter else _made_from(base_dir, requests, settings, toolkit)
    stamp = answers.with_suffix(STAMP_SUFFIX)
    if made_from and stamp.is_file() and read_json(stamp) == {**made_from, "answers": _sha256_of(answers)}:
        replies = read_replies(answers)
        console.print(f"{answers.stem}: {len(replies)} answered before by this model, used again")
        return replies
    with console.status(f"{answers.stem}: loading the model") as status:

        def show(done: int, total: int) -> None:
            status.update(f"{answers.stem}: {done} of {total} answered")

        replies = answer_in_toolkit(requests, toolkit, base_dir, adapter, settings, answers, show)
    if made_from:
        write_json(stamp, {**made_from, "answers": sha256(answers)})
    ended = sum(reply.finished for reply in replies)
    console.print(f"{answers.stem}: {len(replies)} answered, {ended} of them ended by the model")
    return replies


def _made_from(
    base_dir: Path, requests: Sequence[Request], settings: GenerationSettings, toolkit: Toolkit
) -> dict[str, Any]:
    """All that the base model's answers depend on; of its weights the sizes and times, as they may be large."""
    weights = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in base_dir.glob("*.safetensors")]
    return {
        "model": fingerprint([model_fingerprint(base_dir), sorted(weights)]),
        "requests": fingerprint([asdict(request) for request in requests]),
        "settings": asdict(settings),
        "toolkit": toolkit.version,
    }


def _sha256_of(answers: Path) -> str | None:
    return sha256(answers) if answers.is_file() else None


def score(samples: Sequence[TestSample], replies: Sequence[Reply]) -> list[SampleScore]:
    """Each answer held against what was expected."""
    return [
        score_sample(sample.expected, reply.text, sample=sample.id)
        for sample, reply in zip(samples, replies, strict=True)
    ]


def _figures(scores: Sequence[SampleScore], replies: Sequence[Reply]) -> dict[str, Any]:
    tokens = sum(reply.answer_tokens for reply in replies)
    return {
        **asdict(summarize(scores)),
        "finished": sum(reply.finished for reply in replies) / len(replies),
        "mean_answer_tokens": tokens / len(replies),
    }


def _write_samples(
    path: Path, samples: Sequence[TestSample], replies: dict[str, list[Reply]], scores: dict[str, list[SampleScore]]
) -> None:
    """One JSON line a sample, for whoever wants to see what was asked, expected and answered."""
    lines = []
    for index, sample in enumerate(samples):
        line: dict[str, Any] = {"id": sample.id, "expected": sample.expected.model_dump(mode="json", exclude_none=True)}
        for name in ("base", "tuned"):
            line[name] = {"answer": replies[name][index].text, "score": asdict(scores[name][index])}
        lines.append(orjson.dumps(line, default=str) + b"\n")
    write_bytes(path, b"".join(lines))
