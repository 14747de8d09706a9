"""Settings of the data stage, read from a project file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from erniekit_adapter.architectures.toolkits import DataFormat
from erniekit_adapter.documents.dates import DateOrder
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import usage_error
from erniekit_adapter.files import sha256
from erniekit_adapter.project.schema import FiltersSection, Project, TasksSection


@dataclass(frozen=True)
class BuildSettings:
    """Settings that decide which training examples are written, and their content: equal inputs give equal bytes.

    Attributes:
        eval_ratio: share of documents, 0 to 1, whose loss is measured during training.
        test_ratio: share of the sources' documents, 0 to 1, kept for evaluate, in addition to test sources.
        seed: seed of splits and of the choice of documents, tasks, prompt templates and faults.
        group_by: the documents that stay in one split: copies of a document, or all documents of a vendor.
        filters: level of each filter.
        min_visible_share: share of the right values, 0 to 1, that a page has to print.
        tasks: weight of each task.
        prompt_templates: number of prompt templates, from 1.
        fault_share: share of validation examples, 0 to 1, that get a fault injected.
        preference: whether preference pairs for DPO are written too.
        format: format of the training examples.
        ocr: OCR engine for pages without OCR.
        date_order: how to read dates with several meanings; None to reject them.
        max_seq_length: maximum number of tokens of request and answer together.
        tokenizer: tokenizer.model of the model; None if lengths cannot be checked.
        max_samples: maximum number of documents from the sources; None for all. Test sources are not limited.
        document_type: the type of all documents.
    """

    eval_ratio: float = 0.1
    test_ratio: float = 0.1
    seed: int = 42
    group_by: Literal["document", "vendor"] = "document"
    filters: FiltersSection = field(default_factory=FiltersSection)
    min_visible_share: float = 0.5
    tasks: TasksSection = field(default_factory=TasksSection)
    prompt_templates: int = 1
    fault_share: float = 0.5
    preference: bool = False
    format: DataFormat = "erniekit"
    ocr: Literal["none", "rapidocr"] = "none"
    date_order: DateOrder | None = None
    max_seq_length: int = 4096
    tokenizer: Path | None = None
    max_samples: int | None = None
    document_type: DocumentType = INVOICE

    @property
    def is_multimodal(self) -> bool:
        """True if the training examples are for a model that takes page images."""
        return self.format != "erniekit"

    def as_json(self) -> dict[str, Any]:
        """Return the settings for the manifest; the tokenizer with its SHA-256."""
        found = dict(vars(self))
        found["form"] = found.pop("format")  # the name in the manifests of earlier versions
        found["document_type"] = self.document_type.record
        prompts = self.document_type.prompts
        found["request_marks"] = {"ocr": prompts.ocr_mark, "data": prompts.data_mark}
        found |= {"filters": self.filters.model_dump(), "tasks": self.tasks.model_dump()}
        if self.tokenizer:
            found["tokenizer"] = {"path": str(self.tokenizer), "sha256": sha256(self.tokenizer)}
        return found


@dataclass(frozen=True)
class RunnerSettings:
    """Settings of the runner, which do not change the files that are written.

    Attributes:
        runner: processes on this machine, or a Ray cluster.
        workers: number of processes; None for one on each core.
        ray_address: address of the cluster; None to start one on this machine.
    """

    runner: Literal["local", "ray"] = "local"
    workers: int | None = None
    ray_address: str | None = None


def settings_of(project: Project) -> BuildSettings:
    """Return the settings of the data stage in a project; lengths are checked if the model is a local folder.

    Raises:
        UsageError: documents would be kept for an evaluation that the toolkit never makes, or validation is a task of a
            type whose answers have no verdict.
    """
    if project.training.val_split_ratio and not project.evaluates:
        share = project.training.val_split_ratio
        finding = f"found {share:g}; the toolkit does not evaluate in such a run, and these documents would not be used"
        raise usage_error("training.val_split_ratio", finding, "remove it; erniekit-adapter check gives the reason")
    tokenizer = Path(project.model.model_name_or_path).expanduser() / "tokenizer.model"
    data = project.data
    return BuildSettings(
        document_type=project.documents,
        eval_ratio=project.eval_ratio,
        test_ratio=data.test_ratio,
        seed=data.seed,
        group_by=data.group_by,
        filters=data.filters,
        min_visible_share=data.min_visible_share,
        tasks=data.tasks,
        prompt_templates=data.prompt_templates,
        fault_share=data.fault_share,
        preference=data.preference,
        format=data.format,
        ocr=data.ocr,
        date_order=data.date_order,
        max_seq_length=project.training.max_seq_length,
        tokenizer=tokenizer if tokenizer.is_file() else None,
        max_samples=project.dataset.max_samples,
    )


def runner_of(project: Project) -> RunnerSettings:
    """Return the runner of a project file."""
    return RunnerSettings(project.data.runner, project.data.workers, project.data.ray_address)
