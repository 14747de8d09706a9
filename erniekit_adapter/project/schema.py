"""The schema of a project file. Unknown keys and wrong types are errors; values are not converted.

Relative paths are relative to the working directory, as with other trainers.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from erniekit_adapter.architectures.families import BundleFormat
from erniekit_adapter.architectures.toolkits import Backend, DataFormat
from erniekit_adapter.documents.dates import DateOrder
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import load_document_type
from erniekit_adapter.project.section import FilePath, Ratio, Section, SourceSection
from erniekit_adapter.project.table_source import TableSource
from erniekit_adapter.project.toolkit_sections import (
    DpoSection,
    ErniekitSection,
    LoraSection,
    ModelSection,
    PaddleformersSection,
    ParallelSection,
    TrainingSection,
)


def _off(value: object) -> object:
    # YAML 1.1, which PyYAML reads, parses a bare off as false.
    return "off" if value is False else value


Level = Annotated[Literal["error", "warn", "off"], BeforeValidator(_off)]
Structured = Annotated[Literal["off", "auto", "require"], BeforeValidator(_off)]
DEFAULT_TEST_RATIO = 0.1
DEFAULT_EVAL_RATIO = 0.1
# Filters that a project cannot configure.
ALWAYS_ON = ("source", "reviewed", "canonical", "page_mismatch", "verdict", "toolkit", "length")
# Limits of file systems: bytes of a name, and of a path without the names that stages and toolkits append.
MAX_NAME_BYTES, MAX_OUTPUT_DIR_BYTES = 255, 3600
# Prompt templates of each request in documents/invoice/prompts.py.
MAX_PROMPT_TEMPLATES = 4


class DatasetSection(Section):
    """Ready-made training examples, in the interchange format or ERNIEKit's."""

    path: FilePath | None = None
    max_samples: int | None = Field(None, ge=1, description="most documents to train on, drawn with data.seed")


Labels = Annotated[dict[str, str], Field(description="your label: its field, for example {Lieferant: vendor_name}")]
Reviewed = Annotated[
    bool, Field(description="true: people confirmed this file, so answers of models in it are correct")
]
StatedCurrency = Annotated[
    str | None,
    Field(
        pattern="^[A-Z]{3}$",
        description="currency of amounts without one (ISO 4217); with IDR, 33,000 is thirty-three thousand",
    ),
]


class ActiveLearningSource(SourceSection):
    """A file of logged corrections, one JSON object per line."""

    kind: Literal["active_learning"]
    path: FilePath
    reviewed: Reviewed = False


class ManifestSource(SourceSection):
    """A manifest of documents; its paths are searched in its own folder, then in these folders."""

    folder_keys = ("root", "images_dir", "ground_truth_dir")
    kind: Literal["manifest"]
    path: FilePath
    root: FilePath | None = None
    images_dir: FilePath | None = None
    ground_truth_dir: FilePath | None = None
    reviewed: Reviewed = False
    complete: bool = Field(False, description="true: the answers contain every field, so a missing one is an error")
    labels: Labels = Field(default_factory=dict)
    currency: StatedCurrency = None


class AnnotationsSource(SourceSection):
    """Page annotations: a Label Studio export, CORD, SROIE, FUNSD, WildReceipt, or a folder of a model's output."""

    may_be_folder = True
    folder_keys = ("root",)
    kind: Literal["annotations"]
    path: FilePath
    root: FilePath | None = None
    reviewed: Reviewed = False
    labels: Labels = Field(default_factory=dict)
    currency: StatedCurrency = None


class TrainingExamplesSource(SourceSection):
    """Training examples in the interchange format (`conversations`) or ERNIEKit's (`src`, `tgt`)."""

    kind: Literal["training_examples"]
    path: FilePath


class EInvoiceSource(SourceSection):
    """An e-invoice or a folder of them: UBL or CII, optionally with a PDF of the same name, or embedded in a PDF."""

    may_be_folder = True
    kind: Literal["einvoice"]
    path: FilePath


AnySource = (
    ActiveLearningSource | ManifestSource | AnnotationsSource | TrainingExamplesSource | EInvoiceSource | TableSource
)
SourceEntry = Annotated[AnySource, Field(discriminator="kind")]
SOURCE_KINDS: tuple[str, ...] = tuple(
    get_args(source.model_fields["kind"].annotation)[0] for source in get_args(AnySource)
)


class FiltersSection(Section):
    """Effect of a filter's finding: `error` rejects the record, `warn` keeps and reports it, `off` skips the filter."""

    arithmetic: Level = Field("error", description="an arithmetic rule of level error fails")
    dates: Level = Field("warn", description="the due date is before the invoice date")
    image: Level = Field("error", description="the page is missing, damaged, too large or a decompression bomb")
    visible: Annotated[Literal["error", "warn", "unchecked", "off"], BeforeValidator(_off)] = Field(
        "error",
        description="values that are not on the page: error removes them; unchecked also keeps pages without "
        "readable text, and counts them",
    )
    duplicate: Level = Field("error", description="the same content, or the same page by its perceptual hash")
    personal: Annotated[Literal["mask", "warn", "off"], BeforeValidator(_off)] = Field(
        "off", description="IBANs, tax numbers and payment card numbers"
    )

    @model_validator(mode="before")
    @classmethod
    def _some_are_always_on(cls, levels: object) -> object:
        if isinstance(levels, dict) and (fixed := [filter_name for filter_name in ALWAYS_ON if filter_name in levels]):
            filters = ", ".join(fixed)
            raise ValueError(
                f"{filters}: always on, since the training example would be wrong or stop the toolkit; remove it"
            )
        return levels


class TasksSection(Section):
    """Tasks of the training examples, by weight: 2 and 1 give two thirds and one third."""

    analysis: float = Field(1.0, ge=0, description="the whole answer with its validation summary")
    extraction: float = Field(0.0, ge=0, description="the values on the page, without validation")
    validation: float = Field(0.0, ge=0, description="the errors in given data")

    @model_validator(mode="after")
    def _some_task(self) -> TasksSection:
        if not self.analysis + self.extraction + self.validation:
            raise ValueError("all tasks have the weight 0: give one a weight over 0")
        return self


class DataSection(Section):
    """Sources of training and test examples, and how they are made."""

    sources: list[SourceEntry] = Field([], description="documents, in reading order")
    test_sources: list[SourceEntry] = Field([], description="documents used only for tests")
    test_split_ratio: Ratio | None = Field(
        None, description="fraction of the sources' documents kept for evaluate; default 0.1, or 0 with test_sources"
    )
    group_by: Literal["document", "vendor"] = Field("document", description="unit that a split does not divide")
    seed: int = Field(42, ge=0, lt=2**31, description="seed of splits, tasks, prompt templates and faults")
    filters: FiltersSection = FiltersSection()
    min_visible_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="fraction of an answer's values that have to be on the page; with fewer it is another page",
    )
    tasks: TasksSection = TasksSection()
    prompt_templates: int = Field(
        1, ge=1, le=MAX_PROMPT_TEMPLATES, description="prompt templates per request; the service sends the first"
    )
    fault_share: float = Field(0.5, ge=0, le=1, description="fraction of validation examples with an injected fault")
    preference: bool = Field(False, description="also write preference pairs for DPO, from corrected answers")
    format: DataFormat = "erniekit"
    ocr: Literal["none", "rapidocr"] = Field("none", description="OCR engine for pages without OCR text")
    date_order: DateOrder | None = Field(
        None, description="order in 03/04/2025 and 03.04.25; such dates are rejected without it"
    )
    runner: Literal["local", "ray"] = "local"
    workers: int | None = Field(
        None, ge=1, le=1024, description="processes, default one per core; on Ray, shards processed at a time"
    )
    ray_address: str | None = Field(
        None, min_length=1, description="address of the Ray cluster; without it, runner ray starts one"
    )

    @model_validator(mode="after")
    def _cluster_is_used(self) -> DataSection:
        if self.ray_address is not None and self.runner != "ray":
            raise ValueError("ray_address is given and runner is local: set runner: ray")
        return self

    @property
    def test_ratio(self) -> float:
        """Fraction of the sources' documents for tests; by default 0 with a fixed test set."""
        if self.test_split_ratio is not None:
            return self.test_split_ratio
        return 0.0 if self.test_sources else DEFAULT_TEST_RATIO


class ExportSection(Section):
    """Content of the bundle."""

    formats: list[BundleFormat] = Field(["native", "peft", "merged"], min_length=1)
    tensor_parallel_degree: int | None = Field(
        None, ge=1, description="number of parts in which a tensor-parallel run left the adapter's columns; 1: joined"
    )


class EvaluateSection(Section):
    """Settings for the answers to test examples."""

    max_samples: int | None = Field(None, ge=1)
    max_new_tokens: int = Field(1024, ge=1, le=32768)
    batch_size: int = Field(8, ge=1)
    structured: Structured = Field(
        "off", description="whether answers must match the answer's schema: off, auto (if the toolkit can), or require"
    )


class Project(Section):
    """A project file."""

    preset: FilePath | None = Field(None, description="project file with values for keys that this one does not set")
    backend: Backend = Field("erniekit", description="the toolkit that trains")
    model: ModelSection
    lora: LoraSection = LoraSection()
    training: TrainingSection = TrainingSection()
    parallel: ParallelSection = ParallelSection()
    dpo: DpoSection = DpoSection()
    dataset: DatasetSection = DatasetSection()
    document_type: str = Field(
        "invoice", min_length=1, description="name of a shipped document type, or the folder of your own: ./types/order"
    )
    python_rules: list[str] = Field([], description="entry points of the group erniekit_adapter.rules that may be used")
    output_dir: FilePath
    run_name: str = Field("erniekit-adapter", min_length=1, max_length=200)
    erniekit: ErniekitSection = ErniekitSection()
    paddleformers: PaddleformersSection = PaddleformersSection()
    data: DataSection = DataSection()
    export: ExportSection = ExportSection()
    evaluate: EvaluateSection = EvaluateSection()

    @model_validator(mode="after")
    def _splits_leave_something(self) -> Project:
        if self.eval_ratio + self.data.test_ratio >= 1:
            raise ValueError("training.val_split_ratio + data.test_split_ratio leave no documents to train on")
        return self

    @field_validator("output_dir")
    @classmethod
    def _names_fit(cls, folder: Path) -> Path:
        if any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in folder.parts):
            raise ValueError(f"a name in it has more than the {MAX_NAME_BYTES} bytes that file systems allow")
        if len(os.fsencode(folder.absolute())) > MAX_OUTPUT_DIR_BYTES:
            raise ValueError(
                f"longer than {MAX_OUTPUT_DIR_BYTES:,} bytes: the stages append names, and a path has at most 4,095"
            )
        return folder

    @property
    def documents(self) -> DocumentType:
        """The type of the project's documents.

        Raises:
            UsageError: no such type, or its files are wrong.
        """
        return load_document_type(self.document_type, tuple(self.python_rules))

    @property
    def evaluates(self) -> bool:
        """True if the toolkit measures a loss on held-out documents during training."""
        return evaluates(self, takes_images=self.data.format != "erniekit")

    @property
    def eval_ratio(self) -> float:
        """Fraction of documents for the evaluation loss; by default 0 if the toolkit does not evaluate."""
        if self.training.val_split_ratio is not None:
            return self.training.val_split_ratio
        return DEFAULT_EVAL_RATIO if self.evaluates else 0.0

    @property
    def named_version(self) -> str | None:
        """Version of the training toolkit in the project file; None if it is not set."""
        return self.erniekit.version if self.backend == "erniekit" else self.paddleformers.version

    @property
    def sources(self) -> list[AnySource]:
        """Every training source in order, `dataset.path` first."""
        ready = [TrainingExamplesSource(kind="training_examples", path=self.dataset.path)] if self.dataset.path else []
        return [*ready, *self.data.sources]

    @property
    def named_sources(self) -> dict[str, AnySource]:
        """Every source, including test sources, by its key."""
        named: dict[str, AnySource] = {}
        if self.dataset.path:
            named["dataset.path"] = TrainingExamplesSource(kind="training_examples", path=self.dataset.path)
        for name, sources in (("sources", self.data.sources), ("test_sources", self.data.test_sources)):
            named |= {f"data.{name}[{place}].path": source for place, source in enumerate(sources)}
        return named

    @property
    def data_dir(self) -> Path:
        """Folder of the data stage: training examples and manifest."""
        return self.output_dir / "data"

    @property
    def training_dir(self) -> Path:
        """Folder of the train stage: settings, log, metrics, toolkit output."""
        return self.output_dir / "training"

    @property
    def bundle_dir(self) -> Path:
        """Folder of the export stage: the bundle."""
        return self.output_dir / "bundle"

    @property
    def evaluation_dir(self) -> Path:
        """Folder of the evaluate stage: answers and results."""
        return self.output_dir / "evaluation"


def evaluates(project: Project, *, takes_images: bool) -> bool:
    """Return whether a project's toolkit evaluates while it trains, which depends on its method.

    ERNIEKit fails when it evaluates a model that takes images; PaddleFormers needs a package for LoRA and DPO that is
    not published.
    """
    if project.backend == "erniekit":
        return not takes_images
    return not project.lora.enabled and project.training.method != "DPO"
