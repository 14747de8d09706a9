"""What every section of a project file is: unknown keys and wrong types are errors, nothing is coerced."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def path_of(value: object) -> object:
    """A text as a path, `~` spelt out; anything else as it is, for pydantic to refuse."""
    if not isinstance(value, str) or not value.strip():
        return value
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(str(error)) from error


FilePath = Annotated[Path, BeforeValidator(path_of)]
Ratio = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A section of the project file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=())
