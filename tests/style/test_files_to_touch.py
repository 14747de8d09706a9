"""How many product files know about a LoRA target, a model family and a toolkit version."""

from __future__ import annotations

import files_to_touch
import pytest
from files_to_touch import CONCEPTS, Concept


@pytest.mark.parametrize("concept", CONCEPTS, ids=lambda concept: concept.name)
def test_files_to_touch(concept: Concept) -> None:
    files = files_to_touch.files_to_touch(files_to_touch.read_tree())[concept.name]
    assert 1 <= len(files) <= concept.limit, files


def test_toolkit_version_counts_its_files_without_code() -> None:
    found = files_to_touch.files_to_touch(files_to_touch.read_tree())["toolkit version"]
    folder = "erniekit_adapter/backends"
    assert {
        f"{folder}/keys/paddleformers-1.2.0.json",
        f"{folder}/requirements/paddleformers.in",
        f"{folder}/requirements/paddleformers.txt",
    } <= set(found)


def test_counts_code_and_not_prose() -> None:
    module = '"""About q_proj."""\n# the q_proj\n\n\ndef f() -> str:\n    """A moe."""\n    return {0!r}\n'
    files = {"a.py": module.format("dense"), "b.py": module.format("x"), "c.py": "up_proj = 1\n"}
    found = files_to_touch.files_to_touch(files)
    assert found["LoRA target"] == ["c.py"]
    assert found["model family"] == ["a.py"]


def test_counts_releases_in_comparisons() -> None:
    files = {"a.py": "if minor_release(version) < (1, 3):\n    pass\n", "b.py": "sizes = {'a': (1, 2), 'b': (2, 2)}\n"}
    assert files_to_touch.files_to_touch(files)["toolkit version"] == ["a.py"]
