"""Export of an adapter whose columns have the order of tensor-parallel processes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from bundle_examples import exported, trained
from layout_examples import (
    GROUPED,
    LORA_CONFIG,
    assert_same,
    lora_tensors,
    lora_to_peft,
    native_folder,
    tensor_parallel_adapter,
)

from erniekit_adapter.errors import AdapterError
from erniekit_adapter.layouts.adapter_files import read_native
from erniekit_adapter.project.schema import Project
from erniekit_adapter.tensor_files import read_tensors

pytestmark = pytest.mark.usefixtures("no_readers")


def trained_by_two_processes(folder: Path, *, degree: int | None) -> Project:
    """Write a run of two tensor-parallel processes, with `export.tensor_parallel_degree`."""
    project = trained(folder, formats=("native", "peft", "merged"))
    output = project.training_dir / "output"
    shutil.rmtree(output)
    config = {**LORA_CONFIG, "tensor_parallel_degree": 2, "target_modules": [".*_proj.*"]}
    native_folder(output, tensor_parallel_adapter(lora_tensors(GROUPED), 2), config)
    section = {"formats": ["native", "peft"], "tensor_parallel_degree": degree}
    return Project.model_validate({**project.model_dump(exclude_unset=True), "export": section})


def test_all_formats_have_the_order_of_a_whole_model(tmp_path: Path) -> None:
    project = trained_by_two_processes(tmp_path, degree=2)
    exported(project)
    tensors, config = read_native(project.bundle_dir / "native")
    assert_same(tensors, lora_tensors(GROUPED))
    assert config["tensor_parallel_degree"] == 1
    peft = read_tensors(project.bundle_dir / "peft" / "adapter_model.safetensors")
    expected = {name: np.ascontiguousarray(array) for name, array in lora_to_peft(tensors, GROUPED, config).items()}
    assert_same(peft, expected)


def test_degree_1_keeps_the_order(tmp_path: Path) -> None:
    project = trained_by_two_processes(tmp_path, degree=1)
    exported(project)
    assert_same(read_native(project.bundle_dir / "native")[0], tensor_parallel_adapter(lora_tensors(GROUPED), 2))


def test_requires_the_degree_in_the_project(tmp_path: Path) -> None:
    project = trained_by_two_processes(tmp_path, degree=None)
    with pytest.raises(AdapterError, match=r"which shapes cannot show\n.*set export\.tensor_parallel_degree"):
        exported(project)
