"""The training method of a project, and the files that it reads. Pure functions."""

from __future__ import annotations

from erniekit_adapter.architectures.families import Kind, family_of
from erniekit_adapter.architectures.toolkits import DATA_FORMATS, Backend, DataFormat, Method
from erniekit_adapter.project.schema import Project


def method_of(project: Project, kind: Kind) -> Method:
    """Return the training method in the project file, or the one for the kind of its model."""
    if project.training.method:
        return project.training.method
    return family_of(kind).methods[project.backend][0]


def data_format(backend: Backend, method: Method) -> DataFormat:
    """Return the `data.format` that a training method reads; DPO also reads preference examples."""
    return DATA_FORMATS[method][backend]


def data_files(method: Method) -> tuple[str, str]:
    """Return the names of the data stage's files for training and for evaluation during training."""
    return ("dpo-train.jsonl", "dpo-eval.jsonl") if method == "DPO" else ("train.jsonl", "eval.jsonl")
