"""Recommended projects keep every limit of their toolkit."""

from __future__ import annotations

import pytest
from plan_examples import LARGE, MIDDLE, OCR, PAGES, SMALL, project, shape

from erniekit_adapter.architectures.models import published
from erniekit_adapter.architectures.toolkits import RELEASES, Backend
from erniekit_adapter.backends.limits import limit_problems
from erniekit_adapter.backends.methods import data_format, method_of
from erniekit_adapter.backends.settings import RunContext
from erniekit_adapter.planning.recommend import Recommendation, changed, recommend

VERSIONS: dict[Backend, str] = {
    backend: list(releases.values())[-1].key_table for backend, releases in RELEASES.items()
}


@pytest.mark.parametrize("backend", VERSIONS)
@pytest.mark.parametrize("name", [SMALL, MIDDLE, LARGE, PAGES, OCR])
@pytest.mark.parametrize("method", ["every weight", "LoRA", "wint8", "wint4/8"])
def test_toolkit_trains_recommended_projects(backend: Backend, name: str, method: str) -> None:
    model = published(name)
    example = project(
        model.id if backend == "erniekit" else model.torch_id,
        backend=backend,
        lora={"enabled": method != "every weight"},
        training={"quantization": method if method.startswith("wint") else None},
    )
    stage = method_of(example, model.kind)
    example = changed(example, data={"format": data_format(backend, stage)})
    for gpus in (1, 2, 4, 8, 16, 32):
        answer = recommend(example, shape(name), gpus=gpus, memory_gib=80, model=model)
        if isinstance(answer, Recommendation):
            context = RunContext(name, kind=model.kind, method=stage, version=VERSIONS[backend])
            found = limit_problems(answer.project, context)
            # No degrees help where the toolkit cannot save the adapter.
            unsaved = stage == "OCR-VL-SFT" and method != "every weight"
            assert [problem.location for problem in found] == (["project lora.enabled"] if unsaved else [])
