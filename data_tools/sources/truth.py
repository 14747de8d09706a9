"""What readers of ground truth go by, and what they find."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from erniekit_adapter.invoice.answer import Answer
from erniekit_adapter.invoice.dates import DateOrder


@dataclass(frozen=True)
class ReadSettings:
    """What a project states about the values of a source.

    Attributes:
        date_order: how dates with several readings are meant; None where they are refused.
        reviewed: people confirmed the file, so output of models in it is truth.
        complete: the answers state every field of their documents.
        labels: names of the source's own → fields of `field_names`.
        currency: of amounts without one (ISO 4217); it also settles whether a total of 1,234 has three decimals.
    """

    date_order: DateOrder | None = None
    reviewed: bool = False
    complete: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    currency: str | None = None


DEFAULT = ReadSettings()


@dataclass(frozen=True)
class Truth:
    """The answer of a document, as its ground truth states it.

    Attributes:
        answer: what the document says.
        kind: the shape that was recognised: `CORD`, `flat fields`.
        unused_keys: keys that hold something and have no place in the answer.
        fault: why the printed amounts do not add up, where the ground truth says that they must not.
        complete: whether it claims to state every field.
        language: what the page is written in, as ISO 639-1; None where it does not say.
        model: the service or program that wrote it; None for what people wrote.
        ocr: the page's text, where the ground truth carries it; as the service's OCR output.
    """

    answer: Answer
    kind: str = "ground truth"
    unused_keys: tuple[str, ...] = ()
    fault: str | None = None
    complete: bool = False
    language: str | None = None
    model: str | None = None
    ocr: Any = None


def unconfirmed(model: str) -> str:
    """Why output of a model is no truth, and what makes it one."""
    return f"{model}: output of a model that nobody confirmed; if people did, set reviewed: true on its source"


def with_remedy(error: Exception) -> str:
    """What is wrong with values, with the setting that would give them one reading behind the first of them.

    A table on the screen shows only how a reason begins.
    """
    before, mark, behind = str(error).partition("ambiguous: thousands or three decimals")
    remedy = " (set currency: on its source, such as currency: USD, and totals have one reading)" if mark else ""
    return f"{before}{mark}{remedy}{behind}"
