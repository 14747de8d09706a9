"""Memory of the fullest GPU, compared with numbers computed by hand, and properties of every project."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_examples import LARGE, MIDDLE, OCR, PAGES, SMALL, project, shape

from erniekit_adapter.planning.memory import GIB, MemoryUse, memory_use

COUNT = 360_748_032
EVERY = {"enabled": False}


def use(name: str = SMALL, **sections: Any) -> MemoryUse:
    return memory_use(project(name, **sections), shape(name))


def test_bytes_of_frozen_weights() -> None:
    assert use().weights == 2 * COUNT
    assert use(training={"device": "cpu"}).weights == 4 * COUNT


def test_bytes_of_trained_weights() -> None:
    found = use(lora=EVERY)
    assert (found.lora, found.gradients, found.optimizer) == (0, 2 * COUNT, 12 * COUNT)
    on_cpu = use(lora=EVERY, training={"device": "cpu"})
    assert (on_cpu.gradients, on_cpu.optimizer) == (4 * COUNT, 8 * COUNT)


@pytest.mark.parametrize(
    ("quantization", "bytes_outside", "bytes_in_experts"),
    [(None, 2, 2), ("wint8", 1, 1), ("wint4/8", 1, 0.5), ("wint4", 0.5, 0.5), ("nf4", 0.5, 0.5)],
)
def test_quantization_shrinks_only_matrices(quantization: Any, bytes_outside: float, bytes_in_experts: float) -> None:
    expert = 27 * 64 * 3 * 2560 * 1536
    outside = 28 * (2560 * 3584 + 2560 * 2560) + 3 * 2560 * 12_288 + 27 * 3 * 2560 * 3072
    other = shape(MIDDLE).parameters - expert - outside
    found = use(MIDDLE, training={"quantization": quantization}).weights
    assert found == pytest.approx(expert * bytes_in_experts + outside * bytes_outside + 2 * other, abs=1)


def test_buffer_of_a_quantized_matrix() -> None:
    assert use().buffers == 0
    assert use(training={"quantization": "wint8"}).buffers == 2 * 1024 * 6144


def test_tensor_parallelism_halves_weights_and_logits() -> None:
    one, two = use(MIDDLE), use(MIDDLE, parallel={"tensor": 2})
    assert two.weights == pytest.approx(one.weights / 2, abs=1)
    assert two.logits == one.logits // 2


def test_fullest_pipeline_rank() -> None:
    layer = shape(LARGE).one_layer(with_experts=True)
    embedding = shape(LARGE).embedding + 8192
    assert use(LARGE, parallel={"pipeline": 2}).weights == 2 * (27 * layer + embedding)


def test_early_pipeline_rank_keeps_more_packs() -> None:
    training = {"gradient_accumulation_steps": 8, "recompute": True}
    one, four = use(LARGE, training=training), use(LARGE, training=training, parallel={"pipeline": 4})
    # Of 54 layers the fullest stage has 14, each with 4 packs; inner numbers are kept once.
    kept = 4096 * 8192 * 2
    assert four.activations - one.activations == (14 * 4 - 54) * kept


@pytest.mark.parametrize(
    ("stage", "divided"),
    [
        ("stage1", {"optimizer"}),
        ("stage2", {"optimizer", "gradients"}),
        ("stage3", {"optimizer", "gradients", "weights"}),
    ],
)
def test_sharding_stages_divide_more(stage: str, divided: set[str]) -> None:
    whole = asdict(use(lora=EVERY))
    shared = asdict(use(lora=EVERY, parallel={"sharding": 4, "sharding_stage": stage}))
    for part in ("optimizer", "gradients", "weights"):
        assert shared[part] == (whole[part] // 4 if part in divided else whole[part])


def test_optimizer_in_host_memory() -> None:
    on_host = use(lora=EVERY, parallel={"sharding": 4}, erniekit={"extra": {"offload_optim": True}})
    assert (on_host.optimizer, on_host.host) == (0, 12 * COUNT)
    assert on_host.total < use(lora=EVERY, parallel={"sharding": 4}).total


@pytest.mark.parametrize(
    ("key", "part", "factor"),
    [
        ("amp_master_grad", "gradients", 2),
        ("use_lowprecision_moment", "optimizer", 2 / 3),
        ("use_sparse_head_and_loss_fn", "logits", 0.4),
    ],
)
def test_effects_of_toolkit_keys(key: str, part: str, factor: float) -> None:
    before, after = asdict(use(lora=EVERY)), asdict(use(lora=EVERY, erniekit={"extra": {key: True}}))
    assert after[part] == pytest.approx(before[part] * factor)
    assert {name for name in before if before[name] != after[name]} == {part, "reserve"}


def test_dpo_without_lora_needs_a_second_model() -> None:
    dpo = {"method": "DPO"}
    assert use(lora=EVERY, training=dpo).reference == 2 * COUNT
    assert use(lora=EVERY, training=dpo, dpo={"reference_free": True}).reference == 0
    assert use(training=dpo).reference == 0


def test_recomputation_keeps_only_the_input_of_a_layer() -> None:
    tokens, inner = 4096, 8 * 1024 + 4 * 3072
    assert use(training={"recompute": True}).activations == 2 * tokens * (18 * 1024 + inner)
    assert use(training={"recompute": False}).activations == 2 * tokens * 18 * inner


def test_each_chosen_expert_copies_the_token() -> None:
    routed = 6 * (2 * 2560 + 4 * 1536)
    inner = 8 * 2560 + 4 * 2 * 1536 + routed
    assert use(MIDDLE).activations == 2 * 4096 * (28 * 2560 + inner)


def test_trained_vision_tower_needs_more_memory() -> None:
    frozen = use(OCR, lora=EVERY).vision
    trained = use(OCR, lora=EVERY, training={"freeze_vision": False}).vision
    assert 2 * shape(OCR).vision_parameters < frozen < trained
    assert use(SMALL).vision == 0


@given(
    name=st.sampled_from([SMALL, MIDDLE, PAGES, OCR]),
    batch=st.integers(1, 16),
    length=st.integers(128, 8192),
    device=st.sampled_from(["cpu", "gpu"]),
)
def test_memory_grows_with_batch_and_length(name: str, batch: int, length: int, device: str) -> None:
    def total(batch: int, length: int) -> int:
        training = {"per_device_train_batch_size": batch, "max_seq_length": length, "device": device}
        return use(name, training=training).total

    assert total(batch, length) < total(batch + 1, length)
    assert total(batch, length) < total(batch, length + 1)


@given(tensor=st.sampled_from([1, 2, 4]), pipeline=st.integers(1, 14), sharding=st.integers(1, 8), lora=st.booleans())
def test_degrees_never_increase_the_model_memory(tensor: int, pipeline: int, sharding: int, lora: bool) -> None:
    alone = use(MIDDLE, lora={"enabled": lora})
    spread = use(
        MIDDLE, lora={"enabled": lora}, parallel={"tensor": tensor, "pipeline": pipeline, "sharding": sharding}
    )
    for part in ("weights", "lora", "gradients", "optimizer"):
        assert asdict(spread)[part] <= asdict(alone)[part]


def test_total_excludes_host_memory() -> None:
    found = use(PAGES, lora=EVERY, erniekit={"extra": {"offload_optim": True}})
    assert found.total == sum(size for part, size in asdict(found).items() if part != "host")
    assert found.host > 100 * GIB
