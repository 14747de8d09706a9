"""What the data stage goes by, read from a project file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from erniekit_adapter.errors import misuse
from erniekit_adapter.files import sha256
from erniekit_adapter.invoice.dates import DateOrder
from erniekit_adapter.project.schema import DataFormat, GatesSection, Project, TasksSection


@dataclass(frozen=True)
class BuildSettings:
    """What decides which lines are written, and how they read: equal settings and sources give equal bytes.

    Attributes:
        eval_ratio: share of documents, 0 to 1, whose loss is followed during training.
        test_ratio: share of the sources' documents, 0 to 1, kept for evaluate; test sources are kept besides.
        seed: of splits, of the choice of documents, of tasks, wordings and faults.
        group_by: what stays on one side of a split: a document, or all documents of a vendor.
        gates: what a finding of each gate does.
        min_visible_share: share of a truth's values, 0 to 1, that its page has to print.
        tasks: weight of each task.
        wordings: how many wordings of a request are used, from 1.
        fault_share: share of validation lines, 0 to 1, that get a fault injected.
        preference: whether lines for DPO are written as well.
        form: the format of the lines.
        ocr: what reads pages that came without OCR.
        date_order: how dates with several readings are meant; None where they are refused.
        max_seq_length: tokens that request and answer may have together.
        tokenizer: the model's tokenizer.model; None where lengths cannot be checked.
        max_samples: at most so many documents of the sources; None for all. Test sources are never cut.
    """

    eval_ratio: float = 0.1
    test_ratio: float = 0.1
    seed: int = 42
    group_by: Literal["document", "vendor"] = "document"
    gates: GatesSection = field(default_factory=GatesSection)
    min_visible_share: float = 0.5
    tasks: TasksSection = field(default_factory=TasksSection)
    wordings: int = 1
    fault_share: float = 0.5
    preference: bool = False
    form: DataFormat = "erniekit"
    ocr: Literal["none", "rapidocr"] = "none"
    date_order: DateOrder | None = None
    max_seq_length: int = 4096
    tokenizer: Path | None = None
    max_samples: int | None = None

    @property
    def sees_pages(self) -> bool:
        """Whether the lines are for a model that is shown the pages, and not their text alone."""
        return self.form != "erniekit"

    def as_json(self) -> dict[str, Any]:
        """The settings for the manifest; the tokenizer with its SHA-256."""
        found = dict(vars(self))
        found |= {"gates": self.gates.model_dump(), "tasks": self.tasks.model_dump()}
        if self.tokenizer:
            found["tokenizer"] = {"path": str(self.tokenizer), "sha256": sha256(self.tokenizer)}
        return found


@dataclass(frozen=True)
class EngineSettings:
    """Where the work is done, which changes no byte of what is written.

    Attributes:
        engine: processes on this machine, or a Ray cluster.
        workers: how many processes; None for one on each core.
        ray_address: of the cluster; None to start one on this machine.
    """

    engine: Literal["local", "ray"] = "local"
    workers: int | None = None
    ray_address: str | None = None


def settings_of(project: Project) -> BuildSettings:
    """The data stage's settings in a project file; lengths are checked where the model is a local folder.

    Raises:
        UsageError: documents would be withheld for an evaluation that the toolkit never makes.
    """
    if project.training.val_split_ratio and not project.evaluates:
        share = project.training.val_split_ratio
        what = f"found {share:g}; the toolkit evaluates nothing in such a run: they would be withheld in vain"
        raise misuse("training.val_split_ratio", what, "remove it; erniekit_adapter check names the reason")
    tokenizer = Path(project.model.model_name_or_path).expanduser() / "tokenizer.model"
    data = project.data
    return BuildSettings(
        eval_ratio=project.eval_ratio,
        test_ratio=data.test_ratio,
        seed=data.seed,
        group_by=data.group_by,
        gates=data.gates,
        min_visible_share=data.min_visible_share,
        tasks=data.tasks,
        wordings=data.wordings,
        fault_share=data.fault_share,
        preference=data.preference,
        form=data.format,
        ocr=data.ocr,
        date_order=data.date_order,
        max_seq_length=project.training.max_seq_length,
        tokenizer=tokenizer if tokenizer.is_file() else None,
        max_samples=project.dataset.max_samples,
    )


def engine_of(project: Project) -> EngineSettings:
    """The engine that a project file asks for."""
    return EngineSettings(project.data.engine, project.data.workers, project.data.ray_address)
