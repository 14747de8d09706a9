"""Base of all sections of a project file: unknown keys and wrong types are errors, values are not converted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def path_of(value: object) -> object:
    """Return a string as a path with `~` expanded; other values unchanged, for pydantic to refuse."""
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


class SourceSection(Section):
    """A source of documents; its kind decides how it is read.

    Attributes:
        may_be_folder: whether `path` may be a folder.
        folder_keys: keys that name further folders, with files that the documents of the source name.
        required_folder_keys: those of them whose folder must exist if the key is given.
    """

    kind: str
    path: FilePath
    may_be_folder: ClassVar[bool] = False
    folder_keys: ClassVar[tuple[str, ...]] = ()
    required_folder_keys: ClassVar[tuple[str, ...]] = ()

    def path_problem(self) -> str | None:
        """Return why `path` cannot be read as a source of this kind; None if it can."""
        if self.path.is_file() or (self.may_be_folder and self.path.is_dir()):
            return None
        return "not a regular file" if self.path.exists() else "no such file"

    def folders(self) -> dict[str, Path]:
        """Return the further folders that are given, by key."""
        return {key: folder for key in self.folder_keys if (folder := getattr(self, key)) is not None}
