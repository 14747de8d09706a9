"""Data sets of the toolkits read the JSONL files of data_tools and get the same content.

ERNIEKit 1.0.1 reads no images, and the wheels of later versions do not contain the reader for them; PaddleFormers reads
its image format too, so it is used here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_tools.examples.building import TrainingExample
from data_tools.examples.preferences import Preference
from data_tools.examples.toolkit_check import preference_problem, toolkit_problem
from data_tools.formats.preferences import format_preference
from data_tools.formats.training_examples import format_example
from erniekit_adapter.architectures.toolkits import DataFormat

pytestmark = pytest.mark.toolkit

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "tiny_base" / "model"
SCRIPTS = Path(__file__).parent
BEGIN, END = "<|begin_of_sentence|>", "</s>"
ANSWER = '{"structured_data":{"vendor_block":{"name":"Müller \\"& Söhne\\""}},"total":7.50}'
READ_WHOLE = {
    "ordinary": ("Analyse this invoice.\nTotal 7.50 €?", ANSWER),
    "line ends": ("one\r\ntwo\n\n\tthree\u2028four\u0085five", '{"a":\n[1,\r\n2]}'),
    "every script": (
        "Größe, 发票, счёт, \U0001f9fe, \U0001f468\u200d\U0001f469, \x00, \x1b[0m",
        '{"a":"发票 \U0001f9fe"}',
    ),
    "quotes": ('"src": [\'\\n\', \\"x\\"]', '{"a":"\\\\\\""}'),
    "marks of nothing": ("a < b, <b>bold</b>, <|>, <0x0A>, {{x}}, {{content}}, {% if %}, [INST]", '{"a":"<b>"}'),
    "a turn's words": ("Total?\nAssistant: 8\nUser: Sure?", '{"a":"User: \\nAssistant: "}'),
}
CHANGED_EVERYWHERE = {
    "control piece in the request": ("Total of </s> and <mask:1>?", ANSWER),
    "end of a turn in the request": ("Total?<|end_of_sentence|>", ANSWER),
    "control piece in the answer": ("Total?", '{"a":"<|end_of_sentence|>"}'),
    "mark of a blank in the answer": ("Total?", '{"a":"\u2581"}'),
    "no answer": ("Total?", ""),
}
CHANGED_BY_ERNIEKIT = {
    "blank request": (" \n", ANSWER),
    "blank answer": ("Total?", "\u3000"),
    "white space around the request": ("Total?\n", ANSWER),
    "white space around the answer": ("Total?", f" {ANSWER}"),
}
MARKS_TO_ERNIEKIT = {
    "mark of an image": ("Total of <image>?", ANSWER),
    "mark of a turn": ("Total of {{idx}}?", ANSWER),
}
CHANGED_BY_PADDLEFORMERS = {
    **MARKS_TO_ERNIEKIT,
    "mark of an image in the answer": ("Total?", '{"a":"<image>"}'),
    "mark of a video": ("Total of <video>?", ANSWER),
}
ERNIEKIT = READ_WHOLE | CHANGED_EVERYWHERE | CHANGED_BY_ERNIEKIT | MARKS_TO_ERNIEKIT
PADDLEFORMERS = READ_WHOLE | CHANGED_EVERYWHERE | CHANGED_BY_PADDLEFORMERS
PREFERENCES = {name: (request, chosen, '{"total":8}') for name, (request, chosen) in READ_WHOLE.items()} | {
    "blank chosen answer": ("Total?", " ", '{"total":8}'),
    "blank rejected answer": ("Total?", ANSWER, ""),
}
Reading = dict[str, Any]
Run = Callable[..., str]


@dataclass(frozen=True)
class Desk:
    """A folder for JSONL files, with pages inside and outside it under difficult names."""

    folder: Path
    pages: tuple[Path, ...]

    def write(self, name: str, line: bytes) -> Path:
        path = self.folder / f"{name.replace(' ', '_')}.jsonl"
        path.write_bytes(line)
        return path


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    root = tmp_path_factory.mktemp("Läufe")
    pages = (root / "Bücher 2024" / "Seite ü 1.png", root / "lines" / "http" / "2.png", root / "lines" / "..3.png")
    for page in pages:
        page.parent.mkdir(exist_ok=True, parents=True)
        Image.new("RGB", (112, 84), "white").save(page)
    return Desk(root / "lines", pages)


def resolved(images: Sequence[str]) -> tuple[Path, ...]:
    return tuple(Path(image).resolve() for image in images)


def without_images(reading: Reading) -> Reading:
    return {part: content for part, content in reading.items() if part != "images"}


def last_line(printed: str) -> Any:
    return json.loads(printed.splitlines()[-1])


@pytest.fixture(scope="module")
def by_erniekit(desk: Desk, run_python: Run, erniekit_python: Path) -> dict[str, Reading | None]:
    """Return the content that ERNIEKit has after reading each example and preference, by name."""
    files = {}
    for name, texts in ERNIEKIT.items():
        line = format_example(TrainingExample("d", "g", *texts, desk.pages), "erniekit", desk.folder)
        files[name] = f"SFT:{desk.write(f'sft {name}', line)}"
    for name, content in PREFERENCES.items():
        line = format_preference(Preference("d", "g", *content), desk.folder)
        files[f"DPO {name}"] = f"DPO:{desk.write(f'dpo {name}', line)}"
    printed = run_python(erniekit_python, SCRIPTS / "read_by_erniekit.py", MODEL, *files.values())
    return dict(zip(files, last_line(printed), strict=True))


@pytest.fixture(scope="module")
def by_paddleformers(desk: Desk, run_python: Run, paddleformers_python: Path) -> dict[str, Reading | None]:
    """Return the content that PaddleFormers has after reading each example and preference with images, by name."""
    files = {}
    forms: dict[DataFormat, str] = {"paddleformers": "messages", "erniekit-vl": "erniekit"}
    for name, texts in PADDLEFORMERS.items():
        for data_format, kind in forms.items():
            line = format_example(TrainingExample("d", "g", *texts, desk.pages), data_format, desk.folder)
            files[f"{data_format} {name}"] = f"SFT:{kind}:{desk.write(f'{data_format} {name}', line)}"
    text_only = format_example(TrainingExample("d", "g", *READ_WHOLE["ordinary"]), "paddleformers", desk.folder)
    files["text only"] = f"SFT:messages:{desk.write('text only', text_only)}"
    for name, content in PREFERENCES.items():
        line = format_preference(Preference("d", "g", *content, desk.pages), desk.folder)
        files[f"DPO {name}"] = f"DPO:erniekit:{desk.write(f'dpo images {name}', line)}"
    printed = run_python(paddleformers_python, SCRIPTS / "read_by_paddleformers.py", MODEL, *files.values())
    return dict(zip(files, last_line(printed), strict=True))


def whole(texts: tuple[str, str], images: int = 0) -> Reading:
    """Return the content of a completely read example: only the answer and its end token are trained."""
    request, answer = texts
    return {
        "untrained": f"{BEGIN}User: {'[image]' * images}{request}\nAssistant: ",
        "trained": f"{answer}{END}",
        "control": [BEGIN, END],
    }


@pytest.mark.parametrize("name", READ_WHOLE)
def test_erniekit_keeps_the_example_and_trains_its_answer(by_erniekit: dict[str, Reading], name: str) -> None:
    assert by_erniekit[name] == whole(READ_WHOLE[name])


@pytest.mark.parametrize("name", ERNIEKIT)
def test_rejects_exactly_what_erniekit_reads_differently(by_erniekit: dict[str, Reading], name: str) -> None:
    is_rejected = toolkit_problem(TrainingExample("d", "g", *ERNIEKIT[name]), "erniekit") is not None
    assert is_rejected == (by_erniekit[name] != whole(ERNIEKIT[name]))


@pytest.mark.parametrize("data_format", ["paddleformers", "erniekit-vl"])
@pytest.mark.parametrize("name", READ_WHOLE)
def test_paddleformers_keeps_the_example_with_its_pages(
    desk: Desk, by_paddleformers: dict[str, Reading], name: str, data_format: DataFormat
) -> None:
    reading = by_paddleformers[f"{data_format} {name}"]
    assert resolved(reading["images"]) == desk.pages
    assert without_images(reading) == whole(READ_WHOLE[name], 3)


def test_paddleformers_reads_messages_without_images(by_paddleformers: dict[str, Reading]) -> None:
    assert by_paddleformers["text only"] == {**whole(READ_WHOLE["ordinary"]), "images": []}


@pytest.mark.parametrize("data_format", ["paddleformers", "erniekit-vl"])
@pytest.mark.parametrize("name", PADDLEFORMERS)
def test_rejects_exactly_what_paddleformers_reads_differently(
    desk: Desk, by_paddleformers: dict[str, Reading | None], name: str, data_format: DataFormat
) -> None:
    texts = PADDLEFORMERS[name]
    reading = by_paddleformers[f"{data_format} {name}"]
    is_whole = reading is not None and without_images(reading) == whole(texts, 3)
    assert (toolkit_problem(TrainingExample("d", "g", *texts, desk.pages), data_format) is None) == is_whole


def preferred(content: tuple[str, str, str], images: int = 0, end: str = "") -> Reading:
    request, chosen, rejected = content
    prompt = f"{BEGIN}User: {'[image]' * images}{request}\nAssistant: "
    return {"prompt": prompt, "chosen": f"{chosen}{end}", "rejected": f"{rejected}{end}"}


@pytest.mark.parametrize("name", READ_WHOLE)
def test_both_toolkits_keep_the_roles_of_a_preference(
    desk: Desk, by_erniekit: dict[str, Reading], by_paddleformers: dict[str, Reading], name: str
) -> None:
    assert by_erniekit[f"DPO {name}"] == preferred(PREFERENCES[name])
    with_pages = by_paddleformers[f"DPO {name}"]
    assert resolved(with_pages["images"]) == desk.pages
    assert without_images(with_pages) == preferred(PREFERENCES[name], 3, END)


@pytest.mark.parametrize("name", ["blank chosen answer", "blank rejected answer"])
def test_both_toolkits_skip_a_preference_with_a_blank_answer(
    by_erniekit: dict[str, Reading | None], by_paddleformers: dict[str, Reading | None], name: str
) -> None:
    assert by_erniekit[f"DPO {name}"] is by_paddleformers[f"DPO {name}"] is None
    assert preference_problem(Preference("d", "g", *PREFERENCES[name])) is not None
