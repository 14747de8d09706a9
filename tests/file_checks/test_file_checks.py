"""Checks of configuration files, base model names and chat templates."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erniekit_adapter.file_checks.chat_templates import template_problems
from erniekit_adapter.file_checks.configs import (
    base_name,
    base_name_problems,
    config_problems,
    unsafe_keys,
    without_unsafe_keys,
)

# Keys with text in the results of the models' `to_dict()`, in transformers 4.57.6 and 5.23.0 and PaddleFormers 1.2.0;
# without `pp_seg_method` and `_name_or_path`, which are removed.
OF_TRANSFORMERS = {
    "architectures": ["PaddleOCRVLForConditionalGeneration"],
    "dtype": "bfloat16",
    "id2label": {"0": "LABEL_0", "1": "LABEL_1"},
    "label2id": {"LABEL_0": 0},
    "model_type": "paddleocr_vl",
    "transformers_version": "5.23.0",
    "text_config": {
        "hidden_act": "silu",
        "mlp_layer_types": ["dense", "sparse"],
        "model_type": "ernie4_5_vl_moe_text",
        "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3]},
        "_name_or_path": "",
    },
    "vision_config": {"hidden_act": "gelu_pytorch_tanh", "model_type": "paddleocr_vl_vision"},
}
OF_PADDLEFORMERS = {
    "model_type": "ernie4_5_moe",
    "_attn_implementation": "eager",
    "cp_balance_mode": "dualchunk_allgather",
    "moe_multimodal_dispatch_use_allgather": "",
    "moe_router_load_balancing_type": "seq_aux_loss",
    "moe_token_dispatcher_type": "deepep",
    "moe_token_drop_policy": "probs",
    "normalization": "RMSNorm",
    "paddleformers_version": "1.2.0",
    "position_embedding_type": "rope",
    "quantization_config": {"fp8_format_type": "hybrid", "weight_quant_method": "abs_max_channel_wise"},
    "scoring_func": "softmax",
    "softmax_type": "vanilla",
    "torch_dtype": "None",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("a", "auto_map", "url", "dtype")), inner)
    ),
)


@pytest.mark.parametrize("config", [OF_TRANSFORMERS, OF_PADDLEFORMERS])
def test_accepts_configs_of_model_classes(config: dict[str, Any]) -> None:
    assert list(config_problems("config.json", "config.json", config)) == []


@given(st.dictionaries(st.sampled_from(("a", "auto_map", "vision_config", "dtype")), JSON))
def test_removes_all_unsafe_keys(config: dict[str, Any]) -> None:
    kept, removed = without_unsafe_keys(config)
    assert list(unsafe_keys(kept)) == []
    assert bool(removed) == (kept != config)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("baidu/ERNIE-4.5-0.3B-Paddle", "baidu/ERNIE-4.5-0.3B-Paddle"),
        ("PaddlePaddle/PaddleOCR-VL", "PaddlePaddle/PaddleOCR-VL"),
        ("ERNIE-4.5-0.3B-Paddle", "./ERNIE-4.5-0.3B-Paddle"),
        ("tiny_base/model", "./tiny_base/model"),
        ("./tiny_base/model", "./tiny_base/model"),
        ("/models/ernie", "/models/ernie"),
        ("~/models/ernie", "~/models/ernie"),
        ("baidu/another", "./baidu/another"),
    ],
)
def test_base_name_is_a_published_id_or_a_folder(name: str, expected: str) -> None:
    assert base_name(name) == expected
    assert list(base_name_problems("base", expected)) == []


@pytest.mark.parametrize(
    "name", [None, "", "a", "a/b", "baidu/another", "https://x/y", "./a\nb", "./file://x", "s3://a"]
)
def test_rejects_base_names_that_are_downloaded(name: object) -> None:
    assert list(base_name_problems("base", name))


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ m['role'] }}: {{ m.content | trim }}{% endfor %}",
        "{% for m in messages %}{% if loop.last %}{% break %}{% endif %}{% endfor %}",
        "{% generation %}{{ messages[0]['content'] }}{% endgeneration %}",
        "{{ messages | selectattr('role', 'equalto', 'user') | map(attribute='content') | join('\\n') }}",
        [{"name": "default", "template": "{{ messages }}"}],
    ],
)
def test_accepts_chat_templates(template: object) -> None:
    assert template_problems("chat_template", template) == []


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages.__class__ }}",
        "{{ messages['__class__'] }}",
        "{{ messages | attr('x') }}",
        "{{ messages | map(attribute='_x') | list }}",
        "{{ messages | map(attribute=name) | list }}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{{ 'x' * 1000000000 }}",
        "{{ ",
        "{{ (" * 5000,
        7,
        [{"name": "default", "template": "{{ x.__init__ }}"}],
    ],
)
def test_rejects_unsafe_templates(template: object) -> None:
    assert template_problems("chat_template", template)
