"""Answers that must match a schema, in the real environments: exact tokens, and a model that knows no schema."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from type_examples import write_type

from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.documents.parsing import parse_answer
from erniekit_adapter.predictors.structured import LIBRARY, install_command

pytestmark = pytest.mark.toolkit

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "tiny_base" / "model"
START = ROOT / "erniekit_adapter" / "workers" / "start.py"
DRIVER = Path(__file__).with_name("structured_tokens.py")
ENVIRONMENTS = ("erniekit", "transformers", "transformers5")
CHINESE = {
    "发票号码": {"type": "string", "x-kind": "identifier"},
    "开票日期": {"type": "string", "x-kind": "date"},
    "金额": {"type": "number", "x-kind": "amount"},
    '明细 // a "b" # {c}': {
        "type": "array",
        "items": {"type": "object", "properties": {"名称": {"type": "string"}, "数量": {"type": "number"}}},
    },
}
INVOICE_TEXT = (
    '{"structured_data":{"vendor_block":{"name":"Müller & Söhne"},"client_info":{"invoice_date":"2024-02-29"},'
    '"line_items":[{"description":"a","quantity":3,"total":0.10}],"financial_summary":{"subtotal":3025.00}},'
    '"validation_summary":{"is_valid":null,"math_verified":true,"issues":["x"]}}'
)
REFUSED = (
    '{"structured_data": {}}',
    '{"structured_data":{"total":1}}',
    '{"structured_data":{"client_info":{},"vendor_block":{}}}',
    '{"structured_data":{"client_info":{"invoice_date":"29.02.2024"}}}',
    '{"structured_data":{"client_info":{"invoice_date":"2024-02-30"}}}',
    '{"structured_data":{"client_info":{"invoice_date":"2024-13-01"}}}',
    '{"validation_summary":{}}',
    '{"structured_data":{"vendor_block":{"name":"a\nb"}}}',
    '{"structured_data":{"vendor_block":{"name":"a<|IMAGE_END|>"}}}',
    '{"structured_data":{}}}',
    '{"structured_data":{}',
    "Here is the JSON: {}",
)


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def environment(request: pytest.FixtureRequest) -> tuple[str, Path]:
    """The name and the Python of each environment that answers."""
    python = request.getfixturevalue(f"{request.param}_python")
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({LIBRARY!r}) is None)"
    if subprocess.run([python, "-c", code], check=False).returncode:
        pytest.fail(f"{LIBRARY} is missing: run {install_command(python)}", pytrace=False)
    return request.param, python


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> DocumentType:
    """A type whose keys need bytes, quotes and the marks of comments."""
    definition = {"title": "发票", "language": "zh", "answer": {"verdict": False}}
    return write_type(tmp_path_factory.mktemp("types") / "fapiao", CHINESE, definition)


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's base model in Hugging Face's layout."""
    folder = tmp_path_factory.mktemp("hugging-face") / "model"
    command = [sys.executable, "-m", "tiny_base.convert", "--model", MODEL, "--hugging-face", folder]
    subprocess.run(command, cwd=ROOT, check=True)
    return folder


def drawn(schema: dict[str, Any], draw: random.Random) -> Any:
    """Return a random value of a schema, with exact digits."""
    if "enum" in schema:
        return draw.choice(schema["enum"])
    kind = schema["type"] if isinstance(schema["type"], str) else draw.choice(schema["type"])
    if kind == "object":
        needed = schema.get("required", ())
        chosen = [key for key in schema["properties"] if key in needed or draw.random() < 0.6]
        return {key: drawn(schema["properties"][key], draw) for key in chosen}
    if kind == "array":
        return [drawn(schema["items"], draw) for _ in range(draw.randrange(4))]
    if kind == "number":
        return draw.choice([draw.randint(-(10**12), 10**12), Decimal(draw.randint(-(10**9), 10**9)).scaleb(-2)])
    if kind != "string":
        return {"boolean": draw.random() < 0.5, "null": None}[kind]
    if "pattern" in schema:
        return f"{draw.randint(1900, 2100)}-{draw.randint(1, 12):02}-{draw.randint(1, 28):02}"
    return "".join(draw.choices('aB 7.-/"\\\n\t\x07äß€税\u2003😀<>#{}[]:,', k=draw.randrange(30)))


def accepted(kind: str, python: Path, model: Path, cases: list[dict[str, Any]]) -> list[list[Any]]:
    """Return the driver's figures for each text."""
    name = "erniekit" if kind == "erniekit" else "transformers"
    command = [str(python), str(DRIVER), name, str(model)]
    done = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[list[Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_valid_answers_are_accepted_token_by_token(
    environment: tuple[str, Path], chinese: DocumentType, hugging_face: Path
) -> None:
    draw = random.Random(0)  # noqa: S311
    cases: list[dict[str, Any]] = [
        {"schema": kind.schema, "texts": [json_text.compose(drawn(dict(kind.schema), draw)) for _ in range(100)]}
        for kind in (INVOICE, chinese)
    ]
    cases[0]["texts"].append(INVOICE_TEXT)
    name, python = environment
    found = accepted(name, python, MODEL if name == "erniekit" else hugging_face, cases)
    texts = [text for case in cases for text in case["texts"]]
    wrong = [
        (text, each) for text, each in zip(texts, found, strict=True) if each[0] != each[1] or each[2:] != [True] * 2
    ]
    assert wrong == []


def test_everything_else_is_refused(environment: tuple[str, Path], hugging_face: Path) -> None:
    name, python = environment
    cases = [{"schema": INVOICE.schema, "texts": list(REFUSED)}]
    found = accepted(name, python, MODEL if name == "erniekit" else hugging_face, cases)
    assert [text for text, (tokens, kept, *_) in zip(REFUSED, found, strict=True) if kept == tokens] == []


@pytest.mark.parametrize("batch", [1, 3])
def test_a_model_that_knows_nothing_obeys_the_schema(
    environment: tuple[str, Path],
    chinese: DocumentType,
    hugging_face: Path,
    tmp_path: Path,
    run_python: Callable[..., str],
    batch: int,
) -> None:
    name, python = environment
    requests, answers, schema = tmp_path / "requests.jsonl", tmp_path / "answers.jsonl", tmp_path / "schema.json"
    asked = ["发票 12345678, 2024-03-01, 1 x 5.00", "Total 5", "Müller GmbH 2 x 50.00 € Summe 100,00"]
    lines = [{"id": str(number), "request": text} for number, text in enumerate(asked)]
    # The last request has a schema of its own, and its answers are short.
    lines[-1]["schema"] = {"enum": ["paid", "open", None]}  # type: ignore[assignment]
    requests.write_text("".join(json.dumps(line) + "\n" for line in lines))
    schema.write_text(json.dumps(chinese.schema))
    worker, model = ("erniekit_generate", MODEL) if name == "erniekit" else ("transformers_generate", hugging_face)
    options = ["--model", model, "--requests", requests, "--answers", answers, "--schema", schema]
    run_python(python, START, worker, *options, "--max-new-tokens", 60, "--batch-size", batch)
    *limited, last = map(json.loads, answers.read_text(encoding="utf-8").splitlines())
    assert (json.loads(last["answer"]), last["finished"]) in [(value, True) for value in ("paid", "open", None)]
    for each in limited:
        parsed = parse_answer(chinese, each["answer"])
        assert each["answer"].startswith("{")
        # A cut answer is a beginning of one that matches.
        assert each["finished"] is (parsed.form == "strict" and parsed.answer is not None), each


def test_unusable_schema_stops_the_worker(environment: tuple[str, Path], hugging_face: Path, tmp_path: Path) -> None:
    name, python = environment
    (tmp_path / "requests.jsonl").write_text('{"id": "a", "request": "Total 5", "schema": {"type": "wrong"}}\n')
    worker, model = ("erniekit_generate", MODEL) if name == "erniekit" else ("transformers_generate", hugging_face)
    options = ["--model", model, "--requests", "requests.jsonl", "--answers", "answers.jsonl", "--max-new-tokens", "9"]
    command = [str(python), str(START), worker, *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert f"{LIBRARY} does not support the schema" in done.stderr
    assert not (tmp_path / "answers.jsonl").exists()
