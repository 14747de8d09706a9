"""The verdict in an answer: whether the document is valid, whether its sums are correct, and the broken rules."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, StrictBool

from erniekit_adapter.documents.field_types import Text


class ValidationSummary(BaseModel):
    """Result of the rules: true, false, or None if operands are missing; `issues` name the rule and the amounts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    is_valid: StrictBool | None
    math_verified: StrictBool | None
    issues: list[Text] = []
