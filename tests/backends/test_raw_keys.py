"""Keys of the toolkit in `extra`: passed on if they are valid, else refused with the right key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from settings_examples import context_of, paddleformers_project, project, refusal, settings

from erniekit_adapter.backends.erniekit.settings import OVERWRITTEN
from erniekit_adapter.backends.key_tables import accepted_keys
from erniekit_adapter.backends.paddleformers.settings import OVERWRITTEN as OVERWRITTEN_BY_PADDLEFORMERS
from erniekit_adapter.backends.translation import settings_of
from erniekit_adapter.errors import UsageError
from erniekit_adapter.project.loading import keys_of
from erniekit_adapter.project.synonyms import PROJECT_KEY_OF


def with_extra(**extra: Any) -> Any:
    return project(erniekit={"extra": extra})


def from_file(folder: Path, **extra: Any) -> Any:
    path = folder / "more.yaml"
    path.write_text(yaml.safe_dump(extra))
    return project(erniekit={"erniekit_config_path": str(path)})


def test_raw_key_is_passed_on_with_its_origin(tmp_path: Path) -> None:
    for given, location in (
        (with_extra(adam_beta2=0.95), "erniekit.extra.adam_beta2"),
        (from_file(tmp_path, adam_beta2=0.95), f"{tmp_path}/more.yaml adam_beta2"),
    ):
        made = settings_of(given, context_of(given))
        assert (made["adam_beta2"].value, made["adam_beta2"].origin) == (0.95, location)


def test_raw_keys_of_paddleformers() -> None:
    assert settings(paddleformers_project(paddleformers={"extra": {"packing": True}}))["packing"] is True


def test_refuses_a_key_that_the_project_sets() -> None:
    text = refusal(with_extra(learning_rate=1.0e-3))
    assert "erniekit.extra.learning_rate: found 0.001, and it is already 0.0002 by training.learning_rate" in text
    assert "set training.learning_rate and remove this" in text


def test_refuses_a_key_that_a_rule_sets() -> None:
    text = refusal(with_extra(unified_checkpoint=False))
    assert "it is already True by rule: weights in safetensors, never in pickles" in text


def test_refuses_a_key_in_extra_and_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "more.yaml"
    path.write_text("adam_beta2: 0.9\n")
    text = refusal(project(erniekit={"extra": {"adam_beta2": 0.9}, "erniekit_config_path": str(path)}))
    assert f"{path} adam_beta2: is already given by erniekit.extra.adam_beta2" in text


@pytest.mark.parametrize("key", sorted(OVERWRITTEN))
def test_refuses_a_key_that_erniekit_overwrites(key: str) -> None:
    assert f"erniekit.extra.{key}: ERNIEKit overwrites it from " in refusal(with_extra(**{key: True}))


@pytest.mark.parametrize("key", sorted(OVERWRITTEN_BY_PADDLEFORMERS))
def test_refuses_a_key_that_paddleformers_overwrites(key: str) -> None:
    text = refusal(paddleformers_project(paddleformers={"extra": {key: True}}))
    assert f"paddleformers.extra.{key}: PaddleFormers overwrites it from " in text


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("gradient_checkpointing", "set training.recompute in the project file"),
        ("lora_dropout", "set lora.lora_dropout in the project file"),
        ("target_modules", "set lora.target_modules in the project file"),
        ("per_device_train_batch_size", "set training.per_device_train_batch_size in the project file"),
        ("max_seq_length", "set training.max_seq_length in the project file"),
        ("lora_r", "set lora.r in the project file"),
        ("tensor_model_parallel_size", "set parallel.tensor in the project file"),
        ("load_in_4bit", "set training.quantization in the project file"),
        ("eval_strategy", "did you mean evaluation_strategy? set training.val_split_ratio in the project file"),
        ("apply_rope_fusion", "did you mean fuse_rope?"),
        ("attn_implementation", "did you mean use_flash_attention?"),
        ("adam_bta2", "did you mean adam_beta2?"),
        ("zzz", "remove it: it would have no effect"),
    ],
)
def test_refuses_an_unknown_key_with_a_suggestion(key: str, hint: str) -> None:
    assert hint in refusal(with_extra(**{key: 1}))


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("fuse_rope", "did you mean apply_rope_fusion?"),
        ("use_flash_attention", "did you mean _attn_implementation?"),
        ("chat_template", "expected a text"),
        ("batch_size", "set training.per_device_train_batch_size in the project file"),
        ("virtual_pp_degree", "did you mean virtual_pipeline_model_parallel_size?"),
    ],
)
def test_hint_translates_names_of_erniekit(key: str, hint: str) -> None:
    assert hint in refusal(paddleformers_project(paddleformers={"extra": {key: 1}}))


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("adam_beta2", "0.9", "a number (float)"),
        ("adam_beta2", True, "a number (float)"),
        ("buffer_size", 5.0, "a whole number (int)"),
        ("amp_master_grad", "false", "true or false (bool)"),
        ("amp_custom_white_list", "matmul", "List[str] (Optional[List[str]])"),
        ("pp_seg_method", 3, "a text (str)"),
    ],
)
def test_refuses_a_raw_value_of_the_wrong_type(key: str, value: object, expected: str) -> None:
    text = refusal(with_extra(**{key: value}))
    assert f"erniekit.extra.{key}: found {value!r}, expected {expected}" in text


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("sharding_degree", 2, "changes sharding_parallel_degree\n    → set parallel.sharding in the project file"),
        ("enable_auto_parallel", True, "replaces all degrees of parallelism"),
        ("local_rank", 1, "is set by the launcher"),
    ],
)
def test_refuses_a_key_that_changes_others(key: str, value: object, text: str) -> None:
    assert text in refusal(with_extra(**{key: value}))


def test_all_wrong_keys_are_reported_together() -> None:
    text = refusal(with_extra(adam_bta2=1, learning_rate=1.0, bf16=True, buffer_size="5"))
    assert [key for key in ("adam_bta2", "learning_rate", "bf16", "buffer_size") if f"extra.{key}" not in text] == []


def test_error_names_a_missing_config_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing-here"):
        settings(project(erniekit={"erniekit_config_path": str(tmp_path / "nothing-here.yaml")}))


def test_synonyms_name_project_keys() -> None:
    known = set(keys_of())
    assert [name for name, key in PROJECT_KEY_OF.items() if key not in known] == []


def test_synonyms_hide_no_key_of_a_toolkit() -> None:
    """A toolkit's key is a synonym only if our settings contain it or the toolkit overwrites it."""
    given, other = project(), paddleformers_project()
    ours = {*settings(given), *OVERWRITTEN, *settings(other), *OVERWRITTEN_BY_PADDLEFORMERS}
    known = {*accepted_keys("1.0.1", "train"), *accepted_keys("1.2.0", "train", "paddleformers")}
    elsewhere = {"sharding", "sharding_parallel_degree", "sharding_parallel_size", "sequence_parallel", "beta"}
    elsewhere |= {"loss_type", "max_prompt_len", "freeze_config", "save_total_limit", "lr_scheduler", "recompute"}
    elsewhere |= {"sharding_degree"}
    assert sorted((set(PROJECT_KEY_OF) & known) - ours - elsewhere) == []
