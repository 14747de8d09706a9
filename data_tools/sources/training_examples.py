"""Source `training_examples`: ready training examples with `conversations`, or with ERNIEKit's `src` and `tgt`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_tools.records import DocumentRecord, RecordOrRejection, Rejection
from data_tools.sources.answers.canonical import declared_fault, read_written_answer
from data_tools.sources.files.json_values import identifier, shown, unused
from data_tools.sources.files.paths import image_inside
from data_tools.sources.line_file import LineFile
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.project.schema import TrainingExamplesSource

_USER_ROLES = frozenset({"human", "user"})
_ASSISTANT_ROLES = frozenset({"assistant", "gpt"})
_USED = frozenset({"id", "group", "image", "images", "conversations", "src", "tgt", "label"})


class TrainingExampleFile(LineFile[TrainingExamplesSource]):
    """A file of training examples."""

    def read_line(self, number: int, line: dict[str, Any]) -> RecordOrRejection:
        """Return the record of a line, or its rejection."""
        return _read_line(self.document_type, self.path, number, line)


def _read_line(document_type: DocumentType, path: Path, number: int, line: dict[str, Any]) -> RecordOrRejection:
    document_id = identifier(line.get("id"), f"{path.name}:{number}")
    request, answer_text = request_and_answer(line)
    try:
        answer = read_written_answer(document_type, answer_text)
    except ValueError as error:
        return Rejection(str(path), number, document_id, "canonical", f"text of the assistant: {error}"[:2000])
    images = [image_inside(path.parent, name) for name in _image_names(line)]
    return DocumentRecord(
        document_id=document_id,
        source=str(path),
        line=number,
        images=tuple(image for image in images if image),
        ocr=None,
        answer=answer,
        reviewed=True,
        group=identifier(line.get("group"), identifier(line.get("id"), "")),
        request=request.strip(),
        declared_fault=declared_fault(document_type, answer),
        unused_keys=unused(line, _USED) + (("image that is not a file in the folder",) if None in images else ()),
    )


def request_and_answer(line: dict[str, Any]) -> tuple[str, str]:
    """Return the request and the answer text of a training example in either format.

    Raises:
        ValueError: the line has neither format, more than one turn, or a system prompt, which would be lost.
    """
    if line.get("system"):
        raise ValueError("has a system prompt, which the service does not send: put it into the request")
    if "conversations" in line:
        return _from_conversations(line["conversations"])
    if "src" in line and "tgt" in line:
        if line.get("label") not in (None, [1], 1):
            raise ValueError(f"label {shown(line['label'])}: only lines whose answer is trained are read")
        return _only_turn("src", line["src"]), _only_turn("tgt", line["tgt"])
    raise ValueError(f"neither conversations nor src and tgt: its keys are {shown(sorted(line))}")


def _from_conversations(turns: object) -> tuple[str, str]:
    if not isinstance(turns, list) or len(turns) != 2 or not all(isinstance(turn, dict) for turn in turns):
        raise ValueError(f"conversations: expected one human and one assistant turn, found {shown(turns)}")
    (first, request), (second, answer) = (_turn(turn) for turn in turns)
    if first not in _USER_ROLES or second not in _ASSISTANT_ROLES:
        raise ValueError(f"conversations: expected human and assistant, found {shown(first)} and {shown(second)}")
    return request, answer


def _turn(turn: dict[str, Any]) -> tuple[str, str]:
    role = turn.get("role", turn.get("from"))
    texts = [turn[key] for key in ("content", "value") if key in turn]
    if len(texts) != 1 or not isinstance(texts[0], str) or not isinstance(role, str):
        raise ValueError(f"conversations: expected role and content (or value), both text, found {shown(turn)}")
    return role, texts[0]


def _only_turn(name: str, value: object) -> str:
    turn = value[0] if isinstance(value, list) and len(value) == 1 else value
    if not isinstance(turn, str):
        raise ValueError(f"{name}: expected a list of one text, found {shown(value)}")
    return turn


def _image_names(line: dict[str, Any]) -> list[Any]:
    names = line.get("image") or line.get("images") or []
    return names if isinstance(names, list) else [names]
