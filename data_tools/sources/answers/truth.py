"""Ground truth of a document, and the statements of a project that decide how it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from erniekit_adapter.documents.dates import DateOrder
from erniekit_adapter.documents.document_type import AnyAnswer, DocumentType
from erniekit_adapter.documents.loading import INVOICE


@dataclass(frozen=True)
class ReadSettings:
    """Statements of a project about the values of a source.

    Attributes:
        date_order: how to read dates with several meanings; None to reject them.
        reviewed: people confirmed the file, so that output of models in it is correct.
        complete: the answers state every field of their documents.
        labels: names of the source → fields of `field_names`.
        currency: ISO 4217 code of amounts without one; it also decides whether a total of 1,234 has three decimals.
        document_type: the type of the documents.
    """

    date_order: DateOrder | None = None
    reviewed: bool = False
    complete: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    currency: str | None = None
    document_type: DocumentType = INVOICE


DEFAULT = ReadSettings()


@dataclass(frozen=True)
class GroundTruth:
    """The right answer of a document, read from its ground truth.

    Attributes:
        answer: the content of the document.
        kind: the recognised shape: `CORD`, `flat fields`.
        unused_keys: keys that have a value and no place in the answer.
        fault: why the printed amounts do not add up, if the ground truth states that they do not.
        complete: whether the ground truth states every field.
        language: language of the page, as ISO 639-1; None if not stated.
        model: the service or program that wrote it; None if people did.
        ocr: the text of the page as OCR output of the service, if the ground truth contains it.
    """

    answer: AnyAnswer
    kind: str = "ground truth"
    unused_keys: tuple[str, ...] = ()
    fault: str | None = None
    complete: bool = False
    language: str | None = None
    model: str | None = None
    ocr: Any = None


def unconfirmed(model: str) -> str:
    """Return the reason to reject output of a model, and the setting that accepts it."""
    return f"{model}: output of a model that no reviewer confirmed; if people did, set reviewed: true on its source"


def with_currency_hint(error: Exception) -> str:
    """Return the message of an error, with the setting that resolves its first ambiguous amount.

    The hint follows the amount, because a table on the screen shows only the beginning of a reason.
    """
    before, mark, after = str(error).partition("ambiguous: thousands or three decimals")
    hint = " (set currency: on its source, such as currency: USD, which decides how totals are read)" if mark else ""
    return f"{before}{mark}{hint}{after}"
