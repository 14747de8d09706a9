"""Requests about a document: the only place that puts them together, for training, evaluation and service.

There are three tasks. A request ends with a mark and the data, as JSON without control tokens; the part before is
constant. The service uses template 0; training can mix in the others, so that a model learns the task, not the words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.control_tokens import neutralised
from erniekit_adapter.documents.fields import Field
from erniekit_adapter.documents.ocr_values import has_text

Task = Literal["analysis", "extraction", "validation"]
TASKS: tuple[Task, ...] = ("analysis", "extraction", "validation")
# Text before OCR data in a request, by the language of the prompts.
OCR_MARKS = {"en": "Preliminary OCR Data:", "zh": "OCR 识别结果:"}
# Texts of a request by (has OCR data, has an image).
PageTexts = Mapping[tuple[bool, bool], str]


@dataclass(frozen=True)
class PageTemplate:
    """Prompt template of a request about a page.

    Attributes:
        text: the request, with placeholders {given} and {structure}.
        ocr: {given} if the request has OCR data only.
        ocr_and_image: {given} if it has both.
        image: {given} if it has an image only.
    """

    text: str
    ocr: str
    ocr_and_image: str
    image: str

    def texts(self, structure: str) -> PageTexts:
        """Return the texts of the request."""
        return {
            (has_ocr, with_image): self.text.format(given=given, structure=structure)
            for has_ocr, with_image, given in (
                (False, False, self.ocr),
                (True, False, self.ocr),
                (True, True, self.ocr_and_image),
                (False, True, self.image),
            )
        }


@dataclass(frozen=True)
class PromptSet:
    """The prompt templates of a document type, with everything constant filled in.

    Attributes:
        analysis: texts of requests for the whole answer.
        extraction: texts of requests for the content without a verdict.
        validation: texts of requests for the verdict on given data; empty if answers have no verdict.
        content_key: key of the content in data to validate; None if the data is the content.
        ocr_mark: text before OCR data.
        data_mark: text before data to validate.
        verdict_key: key of the verdict in the answer; None without one.
    """

    analysis: tuple[PageTexts, ...]
    extraction: tuple[PageTexts, ...]
    validation: tuple[str, ...]
    content_key: str | None = None
    ocr_mark: str = OCR_MARKS["en"]
    data_mark: str = "Document Data:"
    verdict_key: str | None = None

    @property
    def templates(self) -> int:
        """Number of prompt templates that every task has."""
        counts = [len(self.analysis), len(self.extraction), *([len(self.validation)] if self.validation else [])]
        return min(counts)

    def analysis_request(
        self, ocr: object | None, *, with_image: bool, template: int = 0, written_ocr: str | None = None
    ) -> str:
        """Return the request for the whole answer on one document.

        Args:
            ocr: output of the OCR engine, any JSON value; None, or a value without text, if only the image is used.
            with_image: whether the request has a page image.
            template: number of the prompt template, from 0, which the service uses.
            written_ocr: the OCR data as text of json_text.compose, if the caller has it already.

        Raises:
            ValueError: the prompt template does not exist.
        """
        return self._about_a_page(self.analysis, ocr, with_image, template, written_ocr)

    def extraction_request(
        self, ocr: object | None, *, with_image: bool, template: int = 0, written_ocr: str | None = None
    ) -> str:
        """Return the request for the values of the page without a verdict; same arguments as `analysis_request`."""
        return self._about_a_page(self.extraction, ocr, with_image, template, written_ocr)

    def validation_request(self, data: object, *, template: int = 0) -> str:
        """Return the request for the verdict on given data, for example of an ERP or of another model.

        Args:
            data: a JSON object with the content, under `content_key` if the type has one; dates as ISO text.
            template: number of the prompt template, from 0.

        Raises:
            ValueError: the prompt template does not exist, or the data has another key than the content: a verdict
                would reveal the answer.
        """
        if not isinstance(data, dict) or (self.content_key is not None and data.keys() != {self.content_key}):
            found = ", ".join(map(str, data))[:200] if isinstance(data, dict) else type(data).__name__
            only = f" whose only key is {self.content_key}" if self.content_key else ""
            raise ValueError(f"data to validate must be an object{only}, found: {found}")
        if self.content_key is None and self.verdict_key in data:
            raise ValueError(f"data to validate must not have a verdict, found the key {self.verdict_key}")
        self._check_template(template, len(self.validation))
        return f"{self.validation[template]}\n{self.data_mark} {neutralised(json_text.compose(data))}"

    def constant_part(self, request: str) -> str:
        """Return the constant part of a request: up to its mark and the blank after it; "" if it has no mark."""
        # The text of the page can contain a mark too, so the first mark counts.
        ocr = request.find(f"{self.ocr_mark} ")
        data = request.find(f"{self.data_mark} ", 0, ocr if ocr >= 0 else len(request))
        if data >= 0:
            return request[: data + len(self.data_mark) + 1]
        return request[: ocr + len(self.ocr_mark) + 1] if ocr >= 0 else ""

    def _about_a_page(
        self,
        texts: tuple[PageTexts, ...],
        ocr: object | None,
        with_image: bool,
        template: int,
        written_ocr: str | None,
    ) -> str:
        self._check_template(template, len(texts))
        if ocr is None or (with_image and not has_text(ocr)):
            # A request with an image mentions OCR data only if it has some.
            return texts[template][False, with_image]
        written = json_text.compose(ocr) if written_ocr is None else written_ocr
        return f"{texts[template][True, with_image]}\n{self.ocr_mark} {neutralised(written)}"

    @staticmethod
    def _check_template(template: int, count: int) -> None:
        if not 0 <= template < count:
            raise ValueError(f"prompt template {template} does not exist: expected 0 to {count - 1}")


def structure_text(fields: Iterable[Field]) -> str:
    """Return the structure of a content for a prompt: keys without values, `{"vendor":{"name"},"items":[{"total"}]}`.

    Fields that no page shows are left out, because a model must not be asked for them.
    """
    tree: dict[str, object] = {}
    for field in fields:
        if not field.is_printed:
            continue
        *parents, last = field.path.split(".")
        part = tree
        for parent in parents:
            part = part.setdefault(parent, {})  # type: ignore[assignment]  # parents are objects
        part[last] = None
    return _written(tree)


def _written(tree: Mapping[str, object]) -> str:
    parts = []
    for name, inner in tree.items():
        key = json_text.compose(name.removesuffix("[]"))
        text = _written(inner) if isinstance(inner, dict) else ""
        if name.endswith("[]"):
            text = f"[{text}]"
        parts.append(f"{key}:{text}" if text else key)
    return f"{{{','.join(parts)}}}"
