"""`document_type.yaml`: title, language, answer, rules and prompt templates of a document type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

# One line without control characters, and text of several lines.
Line = Annotated[str, Field(min_length=1, pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$")]
Lines = Annotated[str, Field(min_length=1, max_length=4000, pattern=r"^[^\x00-\x09\x0b-\x1f\x7f]*$")]
KeyName = Annotated[Line, Field(max_length=100)]
FieldPath = Annotated[str, Field(min_length=1, max_length=300)]


class DefinitionPart(BaseModel):
    """Part of the definition; unknown keys are an error."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class VerdictSection(DefinitionPart):
    """Keys of the verdict in the answer."""

    key: KeyName = "validation_summary"
    is_valid: KeyName = "is_valid"
    math_verified: KeyName = "math_verified"
    issues: KeyName = "issues"


def _verdict(value: Any) -> Any:
    """Return the section for `true`, and nothing for `false`."""
    return (VerdictSection() if value else None) if isinstance(value, bool) else value


class AnswerSection(DefinitionPart):
    """The answer around the content."""

    content_key: KeyName | None = Field(None, description="key of the content; without it the answer is the content")
    verdict: Annotated[VerdictSection | None, BeforeValidator(_verdict)] = Field(
        None, description="true, or its keys: the answer has a verdict"
    )


# The kinds of rules, by their key.
RULE_KINDS = ("equation", "order", "values", "pattern", "checksum", "required", "chinese_amount", "python")
# Keys beside the kind that only some kinds use.
_ONLY_FOR: Mapping[str, tuple[str, ...]] = {
    "field": ("values", "pattern", "checksum", "chinese_amount"),
    "tolerance": ("equation",),
}


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class RuleSection(DefinitionPart):
    """A rule; exactly one of its kinds is given."""

    name: str = Field(
        min_length=1, max_length=60, pattern=r"^\S[^:\n]*$", description="name in issues, without a colon"
    )
    sentence: str = Field(min_length=1, max_length=300, description="the rule for a person who reads a report")
    severity: Literal["error", "warn"] = "error"
    decisive: bool = Field(False, description="without this rule's operands, the validity of a document is unknown")
    equation: Annotated[list[str] | None, BeforeValidator(_listed)] = Field(
        None, min_length=1, max_length=12, description="total = sum(items[].total) + tax?; of several, one must be true"
    )
    tolerance: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        None, description="minor units by which the sides may differ: by default 1 for products, else 0"
    )
    order: list[FieldPath] | None = Field(None, min_length=2, max_length=20, description="dates, the earliest first")
    field: FieldPath | None = Field(None, description="the field of values, pattern, checksum and chinese_amount")
    values: list[Any] | None = Field(None, min_length=1, max_length=500, description="texts or numbers")
    pattern: str | None = Field(None, description="regular expression; ^ and $ bind it to the whole text")
    checksum: str | None = Field(None, description="a format of python-stdnum, or fapiao: eu.vat, iban, cn.uscc")
    required: Annotated[list[FieldPath] | None, BeforeValidator(_listed)] = Field(
        None, min_length=1, max_length=50, description="fields, or one field"
    )
    when: str | None = Field(None, max_length=300, description="a field, or field = value: the rule holds only then")
    chinese_amount: FieldPath | None = Field(
        None, description="field with an amount in capital letters, equal to `field`"
    )
    python: str | None = Field(None, min_length=1, description="entry point of the group erniekit_adapter.rules")

    @field_validator("values")
    @classmethod
    def _are_texts_or_numbers(cls, values: list[Any] | None) -> list[Any] | None:
        for value in values or ():
            if isinstance(value, bool) or not isinstance(value, (str, int, float)):
                raise ValueError(f"{str(value)[:40]!r} is neither text nor a number: write texts in quotes")
        return values

    @field_validator("name")
    @classmethod
    def _has_no_colon(cls, name: str) -> str:
        if ":" in name:
            raise ValueError("a colon ends the name in issues: use another sign")
        return name

    @model_validator(mode="after")
    def _one_kind(self) -> RuleSection:
        given = [kind for kind in RULE_KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of {', '.join(RULE_KINDS)}, found {' and '.join(given) or 'none'}")
        for key, kinds in _ONLY_FOR.items():
            if getattr(self, key) is not None and given[0] not in kinds:
                raise ValueError(f"{key} is for {', '.join(kinds)}, not for {given[0]}")
        if self.field is None and given[0] in _ONLY_FOR["field"]:
            raise ValueError(f"{given[0]} needs a field: add field: PATH")
        return self

    @property
    def kind(self) -> str:
        """The key of the rule's kind."""
        return next(kind for kind in RULE_KINDS if getattr(self, kind) is not None)


class PromptsSection(DefinitionPart):
    """Prompt templates instead of those of the language."""

    regions: list[Annotated[Line, Field(max_length=100)]] = Field(
        [], max_length=30, description="parts of the page, for the prompt: vendor; items; totals"
    )
    checks: Lines | None = Field(None, description="sentence that asks for the checks of the verdict")
    analysis: list[Lines] = Field([], max_length=4, description="texts with {given} and {structure}")
    extraction: list[Lines] = Field([], max_length=4, description="texts with {given} and {structure}")
    validation: list[Lines] = Field([], max_length=4, description="texts with {rules} and {structure}")


class Definition(DefinitionPart):
    """The definition of a document type beside its schema."""

    title: Line = Field(max_length=80)
    language: Literal["en", "zh"] = "en"
    description: str = Field("", max_length=4000)
    answer: AnswerSection = AnswerSection()
    rules: list[RuleSection] = Field([], max_length=100)
    prompts: PromptsSection = PromptsSection()
