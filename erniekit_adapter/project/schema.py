"""The project file: what a user may ask for. Unknown keys and wrong types are errors; nothing is coerced.

Relative paths are relative to the directory the command runs in, as with the trainers people know.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from erniekit_adapter.invoice.dates import DateOrder
from erniekit_adapter.project.section import FilePath, Ratio, Section
from erniekit_adapter.project.table_source import TableSource
from erniekit_adapter.project.toolkit_sections import (
    Backend,
    DpoSection,
    ErniekitSection,
    LoraSection,
    ModelSection,
    PaddleformersSection,
    ParallelSection,
    TrainingSection,
)

Form = Literal["native", "peft", "peft-v5", "merged", "merged-hf"]
DataFormat = Literal["erniekit", "erniekit-vl", "paddleformers"]


def _off(value: object) -> object:
    # YAML 1.1, which PyYAML reads, takes a bare off for false.
    return "off" if value is False else value


Level = Annotated[Literal["error", "warn", "off"], BeforeValidator(_off)]
DEFAULT_TEST_RATIO = 0.1
DEFAULT_EVAL_RATIO = 0.1
# Gates that no project can set.
ALWAYS_ON = ("source", "reviewed", "canonical", "page_mismatch", "verdict", "toolkit", "length")
# What file systems allow for a name; and for a path, less what stages and toolkits add below.
MAX_NAME_BYTES, MAX_OUTPUT_DIR_BYTES = 255, 3600
# Wordings of each request that invoice.prompts knows.
MAX_WORDINGS = 4


class DatasetSection(Section):
    """Ready-made training lines: the interchange form or ERNIEKit's."""

    path: FilePath | None = None
    max_samples: int | None = Field(None, ge=1, description="train on at most so many documents, by a seeded choice")


Labels = Annotated[
    dict[str, str], Field(description="a name of yours → the field that it is: {Lieferant: vendor_name}")
]
Reviewed = Annotated[bool, Field(description="true: people confirmed this file, so output of models in it is truth")]
StatedCurrency = Annotated[
    str | None,
    Field(
        pattern="^[A-Z]{3}$",
        description="of amounts without one (ISO 4217): with IDR, a total of 33,000 is thirty-three thousand",
    ),
]


class ActiveLearningSource(Section):
    """A file of logged corrections, one JSON object a line."""

    kind: Literal["active_learning"]
    path: FilePath
    reviewed: Reviewed = False


class ManifestSource(Section):
    """A manifest of documents; paths in it are looked for beside it, then in these folders."""

    kind: Literal["manifest"]
    path: FilePath
    root: FilePath | None = None
    images_dir: FilePath | None = None
    ground_truth_dir: FilePath | None = None
    reviewed: Reviewed = False
    complete: bool = Field(False, description="true: the answers state every field, so a missing one is an error")
    labels: Labels = Field(default_factory=dict)
    currency: StatedCurrency = None


class AnnotationsSource(Section):
    """Annotations of pages: a Label Studio export, CORD, SROIE, FUNSD, WildReceipt, or a folder of models' output."""

    kind: Literal["annotations"]
    path: FilePath
    root: FilePath | None = None
    reviewed: Reviewed = False
    labels: Labels = Field(default_factory=dict)
    currency: StatedCurrency = None


class LinesSource(Section):
    """Lines in the interchange form (`conversations`) or ERNIEKit's (`src`, `tgt`)."""

    kind: Literal["lines"]
    path: FilePath


class EInvoiceSource(Section):
    """An e-invoice, or a folder of them: UBL or CII alone, with its page as a PDF of the same name, or inside a PDF."""

    kind: Literal["einvoice"]
    path: FilePath


AnySource = ActiveLearningSource | ManifestSource | AnnotationsSource | LinesSource | EInvoiceSource | TableSource
Source = Annotated[AnySource, Field(discriminator="kind")]


class GatesSection(Section):
    """What a finding of a gate does: `error` rejects the record, `warn` keeps and names it, `off` does not look."""

    arithmetic: Level = Field("error", description="a rule of level error is broken")
    dates: Level = Field("warn", description="due before the invoice date")
    image: Level = Field("error", description="a page that is missing, broken, too large or a decompression bomb")
    visible: Annotated[Literal["error", "warn", "unchecked", "off"], BeforeValidator(_off)] = Field(
        "error",
        description="values that the page does not show: error takes them out; unchecked also keeps pages whose text "
        "nobody can read, and counts them",
    )
    duplicate: Level = Field("error", description="the same content again, or the same page by its perceptual hash")
    personal: Annotated[Literal["mask", "warn", "off"], BeforeValidator(_off)] = Field(
        "off", description="IBAN, tax and card numbers"
    )

    @model_validator(mode="before")
    @classmethod
    def _some_are_always_on(cls, levels: object) -> object:
        if isinstance(levels, dict) and (fixed := [gate for gate in ALWAYS_ON if gate in levels]):
            gates = ", ".join(fixed)
            raise ValueError(f"{gates}: always on, for a line would teach falsehoods or stop the toolkit; remove it")
        return levels


class TasksSection(Section):
    """What records are made into, by weight: 2 and 1 make two thirds and one third."""

    analysis: float = Field(1.0, ge=0, description="the whole answer with its validation summary")
    extraction: float = Field(0.0, ge=0, description="what the page says, without judgement")
    validation: float = Field(0.0, ge=0, description="what is wrong with given data")

    @model_validator(mode="after")
    def _some_task(self) -> TasksSection:
        if not self.analysis + self.extraction + self.validation:
            raise ValueError("all tasks have the weight 0: give one of them more")
        return self


class DataSection(Section):
    """Where training and test lines come from, and what becomes of them."""

    sources: list[Source] = Field([], description="documents, in the order they are read")
    test_sources: list[Source] = Field([], description="documents that are only ever tested on")
    test_split_ratio: Ratio | None = Field(
        None, description="share of the sources' documents kept for evaluate; 0.1, with test_sources 0"
    )
    group_by: Literal["document", "vendor"] = Field("document", description="what stays on one side of a split")
    seed: int = Field(42, ge=0, lt=2**31, description="of splits, tasks, wordings and faults")
    gates: GatesSection = GatesSection()
    min_visible_share: float = Field(
        0.5, ge=0, le=1, description="share of a truth's values that its page has to print, or it is another page"
    )
    tasks: TasksSection = TasksSection()
    wordings: int = Field(1, ge=1, le=MAX_WORDINGS, description="of each request; the service sends the first")
    fault_share: float = Field(0.5, ge=0, le=1, description="share of validation lines that get a fault injected")
    preference: bool = Field(False, description="also write what the model said and what it became, for DPO")
    format: DataFormat = "erniekit"
    ocr: Literal["none", "rapidocr"] = Field("none", description="reads pages that came without OCR")
    date_order: DateOrder | None = Field(None, description="how 03/04/2025 and 03.04.25 are meant; refused without it")
    engine: Literal["local", "ray"] = "local"
    workers: int | None = Field(
        None, ge=1, le=1024, description="processes, one for each core where it is not given; on Ray, shards at a time"
    )
    ray_address: str | None = Field(None, min_length=1, description="of the cluster; engine ray starts one without it")

    @model_validator(mode="after")
    def _cluster_is_used(self) -> DataSection:
        if self.ray_address is not None and self.engine != "ray":
            raise ValueError("ray_address is given and engine is local: set engine: ray")
        return self

    @property
    def test_ratio(self) -> float:
        """The share of the sources' documents in force: a fixed test set wants no others unless they are asked for."""
        if self.test_split_ratio is not None:
            return self.test_split_ratio
        return 0.0 if self.test_sources else DEFAULT_TEST_RATIO


class ExportSection(Section):
    """What the bundle holds."""

    forms: list[Form] = Field(["native", "peft", "merged"], min_length=1)
    tensor_parallel_degree: int | None = Field(
        None, ge=1, description="in how many parts a tensor-parallel run left the adapter's columns; 1: they are joined"
    )


class EvaluateSection(Section):
    """How the test lines are answered."""

    max_samples: int | None = Field(None, ge=1)
    max_new_tokens: int = Field(1024, ge=1, le=32768)
    batch_size: int = Field(8, ge=1)


class Project(Section):
    """A whole project file."""

    preset: FilePath | None = Field(None, description="a project file whose keys hold where this one gives none")
    backend: Backend = Field("erniekit", description="the toolkit that trains")
    model: ModelSection
    lora: LoraSection = LoraSection()
    training: TrainingSection = TrainingSection()
    parallel: ParallelSection = ParallelSection()
    dpo: DpoSection = DpoSection()
    dataset: DatasetSection = DatasetSection()
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
            raise ValueError("training.val_split_ratio + data.test_split_ratio leave nothing to train on")
        return self

    @field_validator("output_dir")
    @classmethod
    def _names_fit(cls, folder: Path) -> Path:
        if any(len(os.fsencode(part)) > MAX_NAME_BYTES for part in folder.parts):
            raise ValueError(f"a name in it is longer than the {MAX_NAME_BYTES} bytes that file systems allow")
        if len(os.fsencode(folder.absolute())) > MAX_OUTPUT_DIR_BYTES:
            raise ValueError(
                f"longer than {MAX_OUTPUT_DIR_BYTES:,} bytes: the stages add names to it, and 4,095 is all"
            )
        return folder

    @property
    def evaluates(self) -> bool:
        """Whether the toolkit measures a loss on held-out documents during training."""
        return evaluates(self, takes_images=self.data.format != "erniekit")

    @property
    def eval_ratio(self) -> float:
        """The share of documents in force whose loss is followed; nothing is withheld that the toolkit never reads."""
        if self.training.val_split_ratio is not None:
            return self.training.val_split_ratio
        return DEFAULT_EVAL_RATIO if self.evaluates else 0.0

    @property
    def named_version(self) -> str | None:
        """The version of the training toolkit that the project names, if it does."""
        return self.erniekit.version if self.backend == "erniekit" else self.paddleformers.version

    @property
    def sources(self) -> list[AnySource]:
        """Every source that is trained on, in order, `dataset.path` first."""
        ready = [LinesSource(kind="lines", path=self.dataset.path)] if self.dataset.path else []
        return [*ready, *self.data.sources]

    @property
    def named_sources(self) -> dict[str, AnySource]:
        """Every source, test sources included, by the key that gives it."""
        named: dict[str, AnySource] = {}
        if self.dataset.path:
            named["dataset.path"] = LinesSource(kind="lines", path=self.dataset.path)
        for name, sources in (("sources", self.data.sources), ("test_sources", self.data.test_sources)):
            named |= {f"data.{name}[{place}].path": source for place, source in enumerate(sources)}
        return named

    @property
    def data_dir(self) -> Path:
        """The data stage's folder: lines and manifest."""
        return self.output_dir / "data"

    @property
    def training_dir(self) -> Path:
        """The train stage's folder: settings, log, metrics, toolkit output."""
        return self.output_dir / "training"

    @property
    def bundle_dir(self) -> Path:
        """What export writes."""
        return self.output_dir / "bundle"

    @property
    def evaluation_dir(self) -> Path:
        """Answers and results."""
        return self.output_dir / "evaluation"


def evaluates(project: Project, *, takes_images: bool) -> bool:
    """Return whether a project's toolkit evaluates while it trains, which depends on its method.

    ERNIEKit fails when it evaluates a model that takes images; PaddleFormers needs a package for LoRA and DPO that is
    not published.
    """
    if project.backend == "erniekit":
        return not takes_images
    return not project.lora.enabled and project.training.stage != "DPO"
