"""What is recommended, its toolkit accepts: every limit that the backends know is kept."""

from __future__ import annotations

import pytest
from plan_examples import LARGE, MIDDLE, OCR, PAGES, SMALL, project, shape

from erniekit_adapter.backends.limits import limit_problems
from erniekit_adapter.backends.settings import RunFacts
from erniekit_adapter.backends.stages import line_format, stage_of
from erniekit_adapter.planning.recommend import Recommendation, changed, recommend
from erniekit_adapter.project.catalogue import published
from erniekit_adapter.project.toolkit_sections import Backend

VERSIONS: dict[Backend, str] = {"erniekit": "1.5", "paddleformers": "1.2.0"}


@pytest.mark.parametrize("backend", VERSIONS)
@pytest.mark.parametrize("name", [SMALL, MIDDLE, LARGE, PAGES, OCR])
@pytest.mark.parametrize("method", ["every weight", "LoRA", "wint8", "wint4/8"])
def test_a_recommended_project_is_one_that_its_toolkit_trains(backend: Backend, name: str, method: str) -> None:
    model = published(name)
    asked = project(
        model.id if backend == "erniekit" else model.torch_id,
        backend=backend,
        lora={"enabled": method != "every weight"},
        training={"quantization": method if method.startswith("wint") else None},
    )
    stage = stage_of(asked, model.kind)
    asked = changed(asked, data={"format": line_format(backend, stage)})
    for gpus in (1, 2, 4, 8, 16, 32):
        answer = recommend(asked, shape(name), gpus=gpus, memory_gib=80, model=model)
        if isinstance(answer, Recommendation):
            facts = RunFacts(name, kind=model.kind, stage=stage, version=VERSIONS[backend])
            found = limit_problems(answer.project, facts)
            # No degrees help where the toolkit cannot save the adapter.
            unsaved = stage == "OCR-VL-SFT" and method != "every weight"
            assert [problem.where for problem in found] == (["project lora.enabled"] if unsaved else [])
