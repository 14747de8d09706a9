"""The parity check at the end of an export: each format in its reader, compared with the trained adapter."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from rich.console import Console

from erniekit_adapter.architectures.families import BundleFormat
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import read_lines
from erniekit_adapter.parity.comparison import (
    CHECKED,
    NOT_CHECKED,
    FormatResult,
    compare,
    effect_problems,
    format_problem,
    request_names,
    rounded,
    scale_of,
    tolerance,
)
from erniekit_adapter.parity.readers import Readers, Unread
from erniekit_adapter.parity.reading import BASE, LOG, Reading, WrittenModels, read_in_environment
from erniekit_adapter.temporary import temporary_folder
from erniekit_adapter.tensor_files import TorchDtype

_MAX_TEST_PROMPTS = 3
_FIXED_PROMPT = "Analyze this invoice. Vendor: Müller & Söhne GmbH, 3 x Desk 20.00, VAT 19 % 11.40, total 71.40 EUR"
_DEVICES = {"cpu": "the CPU in float32", "gpu": "a GPU in bfloat16"}


class ParityResult(NamedTuple):
    """Result of a parity check.

    Attributes:
        manifest: the result's section of the manifest.
        unread: the formats that no reader could read.
    """

    manifest: dict[str, Any]
    unread: Mapping[BundleFormat, Unread]


def check_parity(
    formats: list[BundleFormat],
    readers: Readers,
    models: WrittenModels,
    requests: list[str],
    output_dir: Path,
    console: Console,
) -> ParityResult:
    """Read base model and formats, each in its reader, and compare their logits and greedy answers.

    The reference is the trained adapter in its toolkit or, without the toolkit, the first format that was read.

    Args:
        formats: the formats of the bundle.
        readers: the readers on this machine.
        models: folders and types of the models.
        requests: prompts, see `probe_requests`.
        output_dir: folder for temporary files, and for the log of a reader that ends early.
        console: for progress.

    Raises:
        AdapterError: a format computes other logits, a tensor is unmatched or missing, or the adapter changes nothing;
            all problems at once.
    """
    log = output_dir / LOG
    log.unlink(missing_ok=True)
    with temporary_folder(output_dir.resolve(), "parity", alone=True) as folder:
        unread = dict(readers.unread)
        readings: list[Reading] = []
        for environment in readers.in_order():
            sequences = readings[0].path if readings else None
            found, ended = read_in_environment(environment, readers, models, requests, folder, sequences, console)
            readings += found
            names = {reading.name for reading in found}
            for each in readers.formats_of(environment):
                if each in formats and each not in names:
                    unread[each] = Unread(f"{environment.name} ended: {ended}", f"see {log}")
            if ended:
                shutil.copyfile(folder / LOG, log)
        return _result(formats, readings, unread, models.stored, readers.device)


def probe_requests(test_file: Path) -> list[str]:
    """Return the prompts of a parity check: those of the first test examples, and a fixed one."""
    lines = (line for _, line in read_lines(test_file) if line) if test_file.is_file() else iter(())
    found = [prompt for line, _ in zip(lines, range(_MAX_TEST_PROMPTS), strict=False) if (prompt := _prompt(line))]
    return [*found, _FIXED_PROMPT]


def _prompt(line: bytes) -> str | None:
    """Return the last prompt of a training example in ERNIEKit's or PaddleFormers' format, or None without text."""
    try:
        value = orjson.loads(line)
        messages = value.get("messages", [])
        prompts = value.get("src") or [message["content"] for message in messages if message["role"] == "user"]
        text = prompts[-1]
    except (orjson.JSONDecodeError, AttributeError, LookupError, TypeError):
        return None
    return text if isinstance(text, str) and text.strip() else None


def _result(
    formats: list[BundleFormat],
    readings: list[Reading],
    unread: Mapping[BundleFormat, Unread],
    stored: TorchDtype,
    device: str,
) -> ParityResult:
    """Compare the readings.

    Args:
        formats: the formats of the bundle.
        readings: the readings, the reference first.
        unread: the formats that were not read.
        stored: the type of merged weights.
        device: cpu or gpu.

    Raises:
        AdapterError: see `check_parity`.
    """
    unread = dict(unread)
    read = [reading for reading in readings if reading.name != BASE]
    if len(read) == 1 and read[0].name != "native":
        unread |= {each: Unread("no other format was read for a comparison") for each in formats}
        read = []
    # The text after a colon is about this machine, and bundles do not depend on the machine.
    reasons = {name: each.reason.partition(": ")[0] for name, each in unread.items()}
    results = {name: FormatResult(NOT_CHECKED, reason=reason) for name, reason in reasons.items()}
    base = next((reading for reading in readings if reading.name == BASE), None)
    if not read or not base:
        return ParityResult({"device": device, "forms": _listed(formats, results)}, unread)
    reference = read[0]
    arrays, before = reference.load(), base.load()
    scale, effect = scale_of(arrays), compare(arrays, before).difference
    problems = list(effect_problems(effect, scale))
    for each in readings:
        is_base = each.name == BASE
        compared = compare(before if is_base else arrays, each.load())
        allowed = tolerance(_less_precise(each, stored, device), scale, effect)
        other = base if is_base else reference
        named = f"{other.name} in {other.environment.name}"
        if problem := format_problem(each.name, named, each.environment.name, compared, allowed):
            problems.append(problem)
        figures = (rounded(compared.difference), rounded(allowed), compared.same_answers)
        result = FormatResult(CHECKED, each.environment.name, *figures)
        results |= {name: result for name in formats if name == each.name}
    if problems:
        raise AdapterError(problems)
    manifest = {
        "device": device,
        "prompts": len(request_names(arrays)),
        "reference": f"{reference.name}, {reference.environment.name}",
        "scale": rounded(scale),
        "effect": rounded(effect),
        "forms": _listed(formats, results),
    }
    return ParityResult(manifest, unread)


def _less_precise(reading: Reading, stored: TorchDtype, device: str) -> TorchDtype:
    """Return the less precise type of stored and computed weights."""
    if device == "gpu":
        return "bfloat16"
    return stored if reading.name.startswith("merged") else "float32"


def _listed(formats: list[BundleFormat], results: Mapping[BundleFormat, FormatResult]) -> dict[str, dict[str, Any]]:
    return {name: {key: value for key, value in asdict(results[name]).items() if value is not None} for name in formats}


def parity_lines(parity: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines to print for a result's section of the manifest."""
    if "effect" in parity:
        yield (
            f"parity check on {_DEVICES[parity['device']]}: {parity['prompts']} prompt{'s' * (parity['prompts'] > 1)}; "
            f"logits of base and tuned model differ by {parity['effect']:g}, "
            f"the largest logit is {parity['scale']:g}"
        )
    for name, found in parity["forms"].items():
        if found["state"] == CHECKED:
            same = f"{found['same_answers']} of {parity['prompts']} answers the same"
            yield f"  ✓ {name:9} {found['difference']:<8.2g} {same}, {found['read_by']}"
        else:
            yield f"  ⊘ {name:9} not checked: {found['reason']}"
