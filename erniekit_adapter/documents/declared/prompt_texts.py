"""Shape of the texts of a language for requests about declared types; `english` and `chinese` have the texts.

Placeholders: {title}, {regions}, {checks}, {codes}, {notation}, {rules} and {verdict} are filled in for a type; {given}
and {structure} for a request. An empty one disappears with its blank.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from erniekit_adapter.documents.document_type import VerdictKeys
from erniekit_adapter.documents.fields import Kind


class Given(NamedTuple):
    """Sentences about the input of a request: OCR data only, OCR data and an image, or an image only."""

    ocr: str
    ocr_and_image: str
    image: str


@dataclass(frozen=True)
class VerdictFacts:
    """Names of the rules that decide about a verdict, and its keys.

    Attributes:
        keys: keys of the verdict in the answer.
        has_errors: whether a rule has level error.
        decisive: rules without which the validity is unknown.
        warnings: rules of level warn.
        arithmetic: rules whose failure means that the sums are wrong.
        sums: rules without which the sums are not verified.
    """

    keys: VerdictKeys
    has_errors: bool
    decisive: tuple[str, ...]
    warnings: tuple[str, ...]
    arithmetic: tuple[str, ...]
    sums: tuple[str, ...]


@dataclass(frozen=True)
class PromptTexts:
    """The texts of a language.

    Attributes:
        analysis: prompt templates of requests for the whole answer, each with its sentences for {given}.
        extraction: the same of requests for the content.
        validation: prompt templates of requests for the verdict.
        data_mark: text before data to validate.
        regions: sentence about the parts of the page, with {names}.
        code: sentence about the values of a field, with {path} and {values}.
        checks: request to check rules, with {rules}.
        rule: a rule in a list, with {name} and {sentence}.
        notation: sentence about notation, with {parts}.
        separator: text between the parts of a sentence.
        kinds: notation of the kinds.
        text_numbers: notation if all numbers are text; `some_text_numbers` has {names}.
        some_text_numbers: notation if some numbers are text.
        percent: notation if all rates are percentages.
        some_percent: notation if some rates are, with {names}.
        verdict: returns the sentences that define the verdict.
    """

    analysis: tuple[tuple[str, Given], ...]
    extraction: tuple[tuple[str, Given], ...]
    validation: tuple[str, ...]
    data_mark: str
    regions: str
    code: str
    checks: str
    rule: str
    notation: str
    separator: str
    kinds: Mapping[Kind, str]
    text_numbers: str
    some_text_numbers: str
    percent: str
    some_percent: str
    verdict: Callable[[VerdictFacts], str]
