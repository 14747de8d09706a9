"""The data section of a project file: sources, test sources, filters and tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
from project_file_examples import LEAST, problems, written

from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.loading import (
    load_project,
)


def test_source_is_named_by_its_index(tmp_path: Path) -> None:
    text = (
        LEAST
        + "data:\n  sources:\n    - {kind: training_examples, path: a}\n    - {kind: manifest, path: b, image_dir: c}\n"
    )
    assert "project.yaml:6 data.sources[1].image_dir: unknown key" in problems(tmp_path, text)


def test_former_kind_of_source_gets_the_new_name(tmp_path: Path) -> None:
    text = LEAST + "data:\n  sources:\n    - {kind: lines, path: a}\n"
    expected = "project.yaml:5 data.sources[0].kind: lines has a new name → write kind: training_examples"
    assert problems(tmp_path, text) == expected


def test_unknown_kind_of_source_lists_the_known(tmp_path: Path) -> None:
    text = LEAST + "data:\n  sources:\n    - {kind: manifests, path: a}\n"
    problem = problems(tmp_path, text)
    assert problem.startswith("project.yaml:5 data.sources[0].kind: unknown kind of source 'manifests' → write one of")
    assert problem.index("manifest,") < problem.index("active_learning")


def test_key_of_annotations_is_named_by_its_index(tmp_path: Path) -> None:
    text = LEAST + "data:\n  sources:\n    - {kind: annotations, path: a, roots: c}\n"
    assert "project.yaml:5 data.sources[0].roots: unknown key" in problems(tmp_path, text)


def test_dataset_path_is_the_first_source(tmp_path: Path) -> None:
    text = LEAST + "dataset: {path: a}\ndata: {sources: [{kind: manifest, path: b}]}\n"
    assert [(source.kind, source.path) for source in load_project(written(tmp_path, text)).sources] == [
        ("training_examples", Path("a")),
        ("manifest", Path("b")),
    ]


def test_sources_are_named_by_their_keys(tmp_path: Path) -> None:
    text = LEAST + (
        "dataset: {path: a}\n"
        "data:\n"
        "  sources: [{kind: manifest, path: b}]\n"
        "  test_sources: [{kind: training_examples, path: c}, {kind: training_examples, path: d}]\n"
    )
    project = load_project(written(tmp_path, text))
    assert {key: source.path for key, source in project.named_sources.items()} == {
        "dataset.path": Path("a"),
        "data.sources[0].path": Path("b"),
        "data.test_sources[0].path": Path("c"),
        "data.test_sources[1].path": Path("d"),
    }
    assert [source.path for source in project.sources] == [Path("a"), Path("b")]


def test_test_source_is_named_by_its_index(tmp_path: Path) -> None:
    text = (
        LEAST
        + "data:\n  test_sources:\n    - {kind: training_examples, path: a}\n    - {kind: training_examples, file: b}\n"
    )
    assert "project.yaml:6 data.test_sources[1].file: unknown key" in problems(tmp_path, text)


@pytest.mark.parametrize(
    ("data", "share"),
    [
        ("{}", 0.1),
        ("{test_split_ratio: 0.0}", 0.0),
        ("{test_split_ratio: 0.3}", 0.3),
        ("{test_sources: []}", 0.1),
        ("{test_sources: [{kind: training_examples, path: a}]}", 0.0),
        ("{test_sources: [{kind: training_examples, path: a}], test_split_ratio: 0.3}", 0.3),
        ("{test_sources: [{kind: training_examples, path: a}], test_split_ratio: null}", 0.0),
    ],
)
def test_test_sources_replace_the_default_split(tmp_path: Path, data: str, share: float) -> None:
    assert load_project(written(tmp_path, f"{LEAST}data: {data}\n")).data.test_ratio == share


def test_test_sources_leave_sources_to_training(tmp_path: Path) -> None:
    text = LEAST + "training: {val_split_ratio: 0.95}\ndata: {test_sources: [{kind: training_examples, path: a}]}\n"
    assert load_project(written(tmp_path, text)).data.test_ratio == 0
    assert "leave no documents to train on" in problems(tmp_path, text, "data.test_split_ratio=0.05")


@pytest.mark.parametrize(
    ("key", "hint"),
    [("arithmatic", "did you mean data.filters.arithmetic?"), ("toolkit", "always on"), ("reviewed", "always on")],
)
def test_refuses_unknown_and_fixed_filters(tmp_path: Path, key: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint.replace("?", r"\?")):
        load_project(written(tmp_path, LEAST + f"data: {{filters: {{{key}: off}}}}\n"))


def test_refuses_zero_weights_and_unused_addresses(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="all tasks have the weight 0"):
        load_project(written(tmp_path, LEAST + "data: {tasks: {analysis: 0}}\n"))
    with pytest.raises(UsageError, match="set runner: ray"):
        load_project(written(tmp_path, LEAST + 'data: {ray_address: "a:1"}\n'))


def test_accepts_a_bare_off(tmp_path: Path) -> None:
    filters = load_project(written(tmp_path, LEAST + "data: {filters: {duplicate: off, personal: off}}\n")).data.filters
    assert (filters.duplicate, filters.personal) == ("off", "off")
