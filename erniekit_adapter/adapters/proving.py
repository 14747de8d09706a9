"""The proof at the end of an export: every form read by what will serve it, and held against what was trained."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from rich.console import Console

from erniekit_adapter.adapters.merge import write_hf_base
from erniekit_adapter.adapters.proof import (
    Arrays,
    Dtype,
    FormProof,
    compare,
    effect_problems,
    form_problem,
    request_names,
    rounded,
    scale_of,
    tolerance,
)
from erniekit_adapter.adapters.readers import Environment, Readers, Unread
from erniekit_adapter.backends.failures import description_of_failure
from erniekit_adapter.backends.process import run_logged
from erniekit_adapter.errors import AdapterError, Problem
from erniekit_adapter.files import read_lines, write_bytes
from erniekit_adapter.project.schema import Form, Project
from erniekit_adapter.temporary import temporary_folder

NEW_TOKENS = 16
STALL_S = 1800.0
LOG = "proof.log"
_MOST_TEST_PROMPTS = 3
_OWN_PROMPT = "Analyze this invoice. Vendor: Müller & Söhne GmbH, 3 x Desk 20.00, VAT 19 % 11.40, total 71.40 EUR"
_ADAPTERS: tuple[Form, ...] = ("native", "peft", "peft-v5")
_BASE = "base"
_WHERE = {"cpu": "the CPU in float32", "gpu": "a GPU in bfloat16"}


@dataclass(frozen=True)
class Written:
    """What there is to read.

    Attributes:
        bundle: the folder with the forms, before it has its name.
        source: the adapter as the toolkit wrote it.
        base_dir: the base model.
        stored: the type of the base's weights, and so of merged ones.
        torch_base: whether the base is in the layout of transformers already.
    """

    bundle: Path
    source: Path
    base_dir: Path
    stored: Dtype
    torch_base: bool


@dataclass(frozen=True)
class Reading:
    """One model, or one adapter on the base model, as an environment read it.

    Attributes:
        name: a form, or `base`.
        environment: what read it.
        path: its arrays.
    """

    name: str
    environment: Environment
    path: Path

    def load(self) -> Arrays:
        """The arrays; see `workers.probes.read_all`."""
        with np.load(self.path) as arrays:
            return dict(arrays)


class Proven(NamedTuple):
    """A proof.

    Attributes:
        manifest: what the manifest says of it.
        unread: the forms that nothing could read after all.
    """

    manifest: dict[str, Any]
    unread: Mapping[Form, Unread]


def prove(project: Project, forms: list[Form], readers: Readers, written: Written, console: Console) -> Proven:
    """Read base model and forms, each where it will be used, and compare their logits and greedy answers.

    The reference is the adapter as it was trained, in its toolkit; where that cannot be asked, the first form read.

    Raises:
        AdapterError: a form computes something else, does not find a place for each tensor, or the adapter changes
            nothing; all problems at once.
    """
    requests, log = probe_requests(project), project.output_dir / LOG
    log.unlink(missing_ok=True)
    with temporary_folder(project.output_dir.resolve(), "proof", alone=True) as folder:
        unread = dict(readers.unread)
        readings: list[Reading] = []
        for environment in _in_order(readers):
            found, died = _read(environment, readers, written, requests, folder, readings[:1], console)
            readings += found
            names = {reading.name for reading in found}
            lost = [form for form, each in readers.environments.items() if each == environment and form not in names]
            unread |= {
                form: Unread(f"{environment.name} ended: {died}", f"see {log}") for form in lost if form in forms
            }
            if died:
                shutil.copyfile(folder / LOG, log)
        return _judged(forms, readings, unread, written.stored, readers)


def probe_requests(project: Project) -> list[str]:
    """What the models are asked: the first test lines of the data stage, and one prompt of our own."""
    path = project.data_dir / "test.jsonl"
    lines = (line for _, line in read_lines(path) if line) if path.is_file() else iter(())
    found = [prompt for line, _ in zip(lines, range(_MOST_TEST_PROMPTS), strict=False) if (prompt := _prompt(line))]
    return [*found, _OWN_PROMPT]


def _prompt(line: bytes) -> str | None:
    """The text that is asked in a line, in ERNIEKit's format or PaddleFormers'; None where there is none."""
    try:
        value = orjson.loads(line)
        messages = value.get("messages", [])
        said = value.get("src") or [message["content"] for message in messages if message["role"] == "user"]
        text = said[-1]
    except (orjson.JSONDecodeError, AttributeError, LookupError, TypeError):
        return None
    return text if isinstance(text, str) and text.strip() else None


def _in_order(readers: Readers) -> list[Environment]:
    """Each environment once, the toolkit's own first."""
    each = {environment.name: environment for environment in readers.environments.values()}
    return sorted(each.values(), key=lambda environment: not environment.toolkit)


def _read(
    environment: Environment,
    readers: Readers,
    written: Written,
    requests: list[str],
    folder: Path,
    first: list[Reading],
    console: Console,
) -> tuple[list[Reading], str]:
    """Read in one environment all that it reads, and the base model; and why it ended early, if it did.

    Raises:
        AdapterError: a tensor has no place, or one is missing.
    """
    base = written.base_dir
    if not environment.toolkit and not written.torch_base:
        base = folder / "base"
        if not base.exists():
            console.print("proof: writing the base model in transformers' layout, for the time of the proof")
            write_hf_base(written.base_dir, base)
    forms = [form for form, each in readers.environments.items() if each == environment]
    cases = [_case(form, base, written) for form in sorted(forms, key=lambda form: form != "native")]
    cases.append({"name": _BASE, "model": str(base.resolve()), "adapter": None})
    if environment.toolkit:
        cases = [_with_links(case, folder / "links") for case in cases]
    plan = {
        "cases": cases,
        "requests": requests,
        "new_tokens": NEW_TOKENS,
        "device": readers.device,
        "sequences": str(first[0].path) if first else None,
    }
    output = folder / ("toolkit" if environment.toolkit else environment.name)
    output.mkdir()
    write_bytes(output / "plan.json", orjson.dumps(plan))
    refused: list[Problem] = []
    done: list[str] = []
    with console.status(f"proof: {environment.name} is starting") as status:

        def follow(line: str) -> None:
            if line.startswith('{"case"'):
                said = orjson.loads(line)
                done.append(said["case"])
                if "refused" in said:
                    refused.append(Problem(f"form {said['case']}", f"{environment.name} refuses it: {said['refused']}"))
                status.update(f"proof: {environment.name} has read {len(done)} of {len(cases)} models")

        outcome = run_logged(
            [*environment.command, "--plan", str(output / "plan.json"), "--output", str(output)],
            folder=output,
            environment=environment.variables,
            log=folder / LOG,
            on_line=follow,
            stall_s=STALL_S,
        )
    if refused:
        raise AdapterError(refused)
    read = [Reading(name, environment, output / f"{name}.npz") for name in done]
    return read, "" if outcome.exit_code == 0 else description_of_failure(outcome)


def _case(form: Form, base: Path, written: Written) -> dict[str, str | None]:
    folder = written.bundle / form
    if form not in _ADAPTERS:
        return {"name": form, "model": str(folder.resolve()), "adapter": None}
    # The reference is read even where the bundle is to have no native form.
    adapter = folder if folder.is_dir() else written.source
    return {"name": form, "model": str(base.resolve()), "adapter": str(adapter.resolve())}


def _with_links(case: dict[str, str | None], folder: Path) -> dict[str, str | None]:
    """The case with folders of links: PaddleFormers writes a pickle of its own into each folder that it reads.

    Args:
        case: as `_case` gives it.
        folder: where to make the folders, one for each that is read.
    """
    linked = dict(case)
    for key in ("model", "adapter"):
        if source := case[key]:
            target = folder / hashlib.sha256(source.encode()).hexdigest()[:16]
            if not target.exists():
                target.mkdir(parents=True)
                for path in Path(source).iterdir():
                    if not path.name.endswith(".metadata"):
                        (target / path.name).symlink_to(path)
            linked[key] = str(target)
    return linked


def _judged(
    forms: list[Form], readings: list[Reading], unread: Mapping[Form, Unread], stored: Dtype, readers: Readers
) -> Proven:
    """The verdict on everything that was read.

    Args:
        forms: the forms of the bundle.
        readings: what was read, the reference first.
        unread: the forms that were not read.
        stored: the type of merged weights.
        readers: who read, and on what.

    Raises:
        AdapterError: as `prove` does.
    """
    unread = dict(unread)
    read = [reading for reading in readings if reading.name != _BASE]
    if len(read) == 1 and read[0].name != "native":
        unread |= {form: Unread("nothing else was read that it could be held against") for form in forms}
        read = []
    # What follows a colon is about this machine, and a bundle is the same wherever it is made.
    reasons = {form: each.reason.partition(": ")[0] for form, each in unread.items()}
    proofs = {form: FormProof("not checked", reason=reason) for form, reason in reasons.items()}
    base = next((reading for reading in readings if reading.name == _BASE), None)
    if not read or not base:
        return Proven({"device": readers.device, "forms": _listed(forms, proofs)}, unread)
    reference = read[0]
    arrays, before = reference.load(), base.load()
    scale, effect = scale_of(arrays), compare(arrays, before).difference
    problems = list(effect_problems(effect, scale))
    for each in readings:
        of_base = each.name == _BASE
        compared = compare(before if of_base else arrays, each.load())
        allowed = tolerance(_coarser(each, stored, readers.device), scale, effect)
        held_against = base if of_base else reference
        named = f"{held_against.name} in {held_against.environment.name}"
        if problem := form_problem(each.name, named, each.environment.name, compared, allowed):
            problems.append(problem)
        figures = (rounded(compared.difference), rounded(allowed), compared.same_answers)
        proofs |= {form: FormProof("proven", each.environment.name, *figures) for form in forms if form == each.name}
    if problems:
        raise AdapterError(problems)
    said = {
        "device": readers.device,
        "prompts": len(request_names(arrays)),
        "reference": f"{reference.name}, {reference.environment.name}",
        "scale": rounded(scale),
        "effect": rounded(effect),
    }
    return Proven({**said, "forms": _listed(forms, proofs)}, unread)


def _coarser(reading: Reading, stored: Dtype, device: str) -> Dtype:
    """The coarser of the types that a reading's weights are stored and read in."""
    if device == "gpu":
        return "bfloat16"
    return stored if reading.name.startswith("merged") else "float32"


def _listed(forms: list[Form], proofs: Mapping[Form, FormProof]) -> dict[str, dict[str, Any]]:
    return {form: {key: value for key, value in asdict(proofs[form]).items() if value is not None} for form in forms}


def proof_lines(proof: Mapping[str, Any]) -> Iterator[str]:
    """What is printed of a proof, line by line."""
    if "effect" in proof:
        yield (
            f"proof on {_WHERE[proof['device']]}: {proof['prompts']} prompt{'s' * (proof['prompts'] > 1)}; "
            f"base and tuned model differ by {proof['effect']:g} in logits, "
            f"on a scale of {proof['scale']:g}"
        )
    for form, found in proof["forms"].items():
        if found["state"] == "proven":
            same = f"{found['same_answers']} of {proof['prompts']} answers the same"
            yield f"  ✓ {form:9} {found['difference']:<8.2g} {same}, {found['read_by']}"
        else:
            yield f"  ⊘ {form:9} not checked: {found['reason']}"
