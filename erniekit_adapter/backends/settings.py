"""What translation speaks in: a setting with where it comes from, and what is known of a run beyond its project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from erniekit_adapter.project.catalogue import Kind
from erniekit_adapter.project.toolkit_sections import Stage


@dataclass(frozen=True)
class Setting:
    """One key that a toolkit is given.

    Attributes:
        value: with the exact YAML type that the toolkit needs: it converts nothing.
        keys: the project keys that it comes from, dotted.
        rule: why it is so, where no project key alone decides.
    """

    value: Any
    keys: tuple[str, ...] = ()
    rule: str = ""

    @property
    def origin(self) -> str:
        """Where it comes from, in words: `training.seed`, or `rule: one process`."""
        return "; ".join(filter(None, [", ".join(self.keys), f"rule: {self.rule}" if self.rule else ""]))


Settings = dict[str, Setting]


def asked(value: Any, *keys: str) -> Setting:
    """A setting that these project keys decide."""
    return Setting(value, keys)


def ruled(value: Any, rule: str) -> Setting:
    """A setting that a rule decides."""
    return Setting(value, rule=rule)


def values(settings: Mapping[str, Setting]) -> dict[str, Any]:
    """The settings as a toolkit reads them: plain values by key."""
    return {key: setting.value for key, setting in settings.items()}


@dataclass(frozen=True)
class RawKey:
    """A key of the toolkit's own that the user gave, and where: `erniekit.extra.adam_beta2`."""

    where: str
    key: str
    value: Any


@dataclass(frozen=True)
class RunFacts:
    """What the settings need to know beyond the project file.

    Attributes:
        model_dir: the folder with the base model's weights, as the toolkit shall open it.
        kind: what kind of model that is.
        stage: as the toolkit names it.
        version: the toolkit's.
        train_path, eval_path: the lines' files, relative to the folder that the toolkit runs in; it strips blanks and
            splits at commas, so an absolute path is no safe thing to give.
        train_lines, eval_lines: how many lines each holds; None before the data stage has run.
        toolkit_dir: where the toolkit writes, relative likewise.
        initial_adapter_dir: an adapter that training starts from (LoRA targets, dropout, or a run that goes on).
        remaining_steps: optimizer steps of a run that goes on; None for a run from the start.
        raw_keys: the toolkit's own keys that the user gave.
    """

    model_dir: str
    version: str
    kind: Kind = "dense"
    stage: Stage = "SFT"
    train_path: str = "../data/train.jsonl"
    eval_path: str = "../data/eval.jsonl"
    train_lines: int | None = None
    eval_lines: int | None = None
    toolkit_dir: str = "output"
    initial_adapter_dir: str | None = None
    remaining_steps: int | None = None
    raw_keys: tuple[RawKey, ...] = ()

    def raw_value(self, key: str) -> Any:
        """The value that the user gave for a key of the toolkit's own; None where none was given."""
        return next((raw.value for raw in self.raw_keys if raw.key == key), None)

    @property
    def sees_pages(self) -> bool:
        """Whether the model takes images."""
        return self.kind in ("vl-moe", "ocr-vl")

    @property
    def goes_on(self) -> bool:
        """Whether this is a later part of a run that was interrupted."""
        return self.remaining_steps is not None
