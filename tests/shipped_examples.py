"""The example documents of the shipped types, in docs/examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import load_document_type

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"
SHIPPED = ("receipt", "purchase-order", "bank-statement", "vat-invoice-cn")


@dataclass(frozen=True)
class ExampleDocument:
    """A page and its right answer; `is_complete` if the page has every value of the document."""

    document_type: str
    name: str
    ocr: Any
    content: Mapping[str, Any]
    language: str
    fault: str | None
    is_complete: bool

    def __str__(self) -> str:
        return f"{self.document_type}-{self.name}"

    @property
    def type(self) -> DocumentType:
        return load_document_type(self.document_type)

    @property
    def answer(self) -> str:
        """The answer that is taught, with its verdict."""
        rules = self.type.rules
        findings = rules.check(self.type.read_content(self.content), complete=self.is_complete)
        return json_text.compose(self.type.wrapped(self.content, rules.summarize(findings)))


def example_documents(document_type: str) -> Iterator[ExampleDocument]:
    folder = EXAMPLES / document_type
    for entry in json_text.parse((folder / "manifest.json").read_text()):
        truth = json_text.parse((folder / entry["ground_truth_path"]).read_text())
        ocr = json_text.parse((folder / entry["ocr_path"]).read_text())
        beside = {key: truth.pop(key, None) for key in ("language", "fault", "complete")}
        yield ExampleDocument(
            document_type,
            entry["invoice_id"],
            ocr,
            truth,
            beside["language"],
            beside["fault"],
            beside["complete"] is True,
        )


def every_document() -> list[ExampleDocument]:
    return [document for name in SHIPPED for document in example_documents(name)]
