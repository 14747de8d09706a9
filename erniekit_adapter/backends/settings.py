"""A setting with its origin, and the context of a run that its settings depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from erniekit_adapter.architectures.families import DEFAULT_KIND, Kind, takes_images
from erniekit_adapter.architectures.toolkits import Method


@dataclass(frozen=True)
class Setting:
    """A setting of a toolkit.

    Attributes:
        value: with the exact YAML type that the toolkit needs, as it does not convert values.
        keys: dotted project keys that it comes from.
        rule: the reason, if the project keys do not decide it.
    """

    value: Any
    keys: tuple[str, ...] = ()
    rule: str = ""

    @property
    def origin(self) -> str:
        """Origin of the setting: `training.seed`, or `rule: one process`."""
        return "; ".join(filter(None, [", ".join(self.keys), f"rule: {self.rule}" if self.rule else ""]))


Settings = dict[str, Setting]


def from_project(value: Any, *keys: str) -> Setting:
    """Return a setting that project keys decide."""
    return Setting(value, keys)


def from_rule(value: Any, rule: str) -> Setting:
    """Return a setting that a rule decides."""
    return Setting(value, rule=rule)


def values(settings: Mapping[str, Setting]) -> dict[str, Any]:
    """Return the values of settings by key, as a toolkit reads them."""
    return {key: setting.value for key, setting in settings.items()}


@dataclass(frozen=True)
class RawKey:
    """A key of the toolkit that the user passes through, with its location: `erniekit.extra.adam_beta2`."""

    location: str
    key: str
    value: Any


@dataclass(frozen=True)
class RunContext:
    """Context of a run: values that its settings depend on and that are not in the project file.

    Attributes:
        model_dir: folder of the base model that the toolkit opens.
        kind: kind of the model.
        method: training method; the toolkits call it `stage`.
        version: version of the toolkit.
        train_path, eval_path: files of training examples, relative to the folder that the toolkit runs in: it strips
            blanks and splits at commas, so an absolute path is not safe.
        train_examples, eval_examples: number of examples in each; None before the data stage has run.
        toolkit_dir: folder that the toolkit writes, also relative.
        initial_adapter_dir: adapter that training starts from (LoRA targets, dropout, or a resumed run).
        remaining_steps: optimizer steps of a resumed run; None for a run from the start.
        raw_keys: keys of the toolkit that the user passes through.
    """

    model_dir: str
    version: str
    kind: Kind = DEFAULT_KIND
    method: Method = "SFT"
    train_path: str = "../data/train.jsonl"
    eval_path: str = "../data/eval.jsonl"
    train_examples: int | None = None
    eval_examples: int | None = None
    toolkit_dir: str = "output"
    initial_adapter_dir: str | None = None
    remaining_steps: int | None = None
    raw_keys: tuple[RawKey, ...] = ()

    def raw_value(self, key: str) -> Any:
        """Return the value that the user passes through for a key of the toolkit, or None."""
        return next((raw.value for raw in self.raw_keys if raw.key == key), None)

    @property
    def is_multimodal(self) -> bool:
        """True if the model takes images."""
        return takes_images(self.kind)

    @property
    def is_resumed(self) -> bool:
        """True if this run continues an interrupted one."""
        return self.remaining_steps is not None
