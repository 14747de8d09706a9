"""Limits of the toolkits: each is refused with the key, the reason and a hint."""

from __future__ import annotations

from typing import Any

import pytest
from settings_examples import (
    DENSE,
    MOE,
    OCR_VL,
    VL,
    dpo_project,
    image_project,
    ocr_project,
    paddleformers_project,
    project,
    refusal,
    settings,
)

from erniekit_adapter.backends.translation import problems_of_project
from erniekit_adapter.project.schema import Project

VL_TORCH = "baidu/ERNIE-4.5-VL-28B-A3B-PT"
ACCUMULATION = {"gradient_accumulation_steps": 4}


@pytest.mark.parametrize(
    ("given", "text"),
    [
        pytest.param(
            project(training={"per_device_train_batch_size": 2, "per_device_eval_batch_size": 4}),
            "training.per_device_eval_batch_size: found 4; ERNIEKit uses one batch_size for both, here 2",
            id="one batch size",
        ),
        pytest.param(
            project(training={"method": "VL-SFT"}), "VL-SFT is for models that take images", id="text in VL-SFT"
        ),
        pytest.param(image_project(training={"method": "SFT"}), "SFT is for text models", id="images in SFT"),
        pytest.param(
            image_project(training={"method": "DPO"}, data={"preference": True}),
            "DPO is for text models",
            id="images in DPO",
        ),
        pytest.param(
            image_project(erniekit={"version": "1.0.1"}),
            "VL-SFT needs ERNIEKit 1.1 or newer, and this is 1.0.1",
            id="VL-SFT before 1.1",
        ),
        pytest.param(
            ocr_project(erniekit={"version": "1.3.0"}),
            "OCR-VL-SFT needs ERNIEKit 1.4 or newer, and this is 1.3.0",
            id="OCR-VL-SFT before 1.4",
        ),
        pytest.param(
            ocr_project(training={"method": "VL-SFT"}),
            "found VL-SFT; ERNIEKit trains this model with OCR-VL-SFT",
            id="the other model's stage",
        ),
        pytest.param(
            image_project(erniekit={"version": "1.3.0"}, parallel={"tensor": 4}),
            "parallel.pipeline: found 1; VL-SFT of 1.3.0 needs a pipeline",
            id="VL-SFT without a pipeline up to 1.3",
        ),
        pytest.param(
            image_project(parallel={}), "VL-SFT fails if tensor and pipeline are both 1", id="VL-SFT on one GPU"
        ),
        pytest.param(
            image_project(training={"gradient_accumulation_steps": 3}),
            "training.gradient_accumulation_steps: found 3; with images it is divided among the 2 pipeline ranks",
            id="accumulation over a pipeline with images",
        ),
        pytest.param(
            image_project(training=ACCUMULATION, parallel={"gpus": 8, "tensor": 2, "pipeline": 2}),
            "8 GPUs hold 2 copies of the model, which would all read the same examples",
            id="data parallelism with pp_need_data",
        ),
        pytest.param(
            image_project(training={"lr_scheduler_type": "linear", **ACCUMULATION}),
            "training.lr_scheduler_type: found linear; the methods for images always use a cosine",
            id="a schedule other than cosine with images",
        ),
        pytest.param(
            ocr_project(parallel={"pipeline": 2}),
            "OCR-VL-SFT does not support pipelines",
            id="OCR-VL-SFT in a pipeline",
        ),
        pytest.param(
            image_project(lora={"lora_dropout": 0.1}, parallel={"tensor": 2}),
            "lora.lora_dropout: found 0.1; ERNIEKit itself trains without dropout",
            id="dropout with images",
        ),
        pytest.param(
            ocr_project(training={"device": "cpu"}),
            "training.device: ERNIEKit trains models that take images only on GPUs",
            id="images on a CPU",
        ),
        pytest.param(
            project(MOE, training={"device": "cpu"}),
            "is a mixture of experts, which has no CPU kernels",
            id="MoE on CPU",
        ),
        pytest.param(
            project(training={"device": "cpu"}, parallel={"gpus": 2}),
            "needs 2 processes, and training.device is cpu",
            id="processes on a CPU",
        ),
        pytest.param(
            project(MOE, lora={"lora_dropout": 0.1}, parallel={"tensor": 2}),
            "starts from an initial adapter: this is not verified with tensor 2, pipeline 1",
            id="an initial adapter in parallel",
        ),
        pytest.param(
            project(lora={"enabled": False}, training={"quantization": "wint8"}),
            "training.quantization: wint8 weights cannot be trained",
            id="training quantized weights",
        ),
        pytest.param(
            project(lora={"rslora": True}, training={"quantization": "wint4/8"}),
            "lora.rslora: rslora is not supported with wint4/8 weights",
            id="rslora with quantized weights",
        ),
        pytest.param(
            project(lora={"lora_plus_scale": 4.0}, training={"quantization": "wint8"}),
            "lora.lora_plus_scale: lora_plus_scale is not supported with wint8 weights",
            id="LoRA+ with quantized weights",
        ),
        pytest.param(
            project(training={"quantization": "fp8"}),
            "training.quantization: ERNIEKit uses fp8 only to train all weights",
            id="fp8 with LoRA",
        ),
        pytest.param(
            project(training={"quantization": "nf4"}),
            "nf4 needs ERNIEKit 1.1 or newer, and this is 1.0.1",
            id="nf4 in 1.0",
        ),
        pytest.param(
            project(training={"quantization": "wint4"}),
            "found wint4; ERNIEKit has wint8, wint4/8, fp8, nf4",
            id="wint4",
        ),
        pytest.param(
            project(training={"quantization": "wint8"}, parallel={"pipeline": 2}),
            "a model that shares its embedding with its output head cannot be quantised in a pipeline",
            id="tied and quantized in a pipeline",
        ),
        pytest.param(
            project(MOE, parallel={"gpus": 2}, erniekit={"extra": {"tensorwise_offload_optimizer": True}}),
            "erniekit.extra.tensorwise_offload_optimizer: the optimizer cannot be offloaded with 2 data-parallel",
            id="offload with data parallelism",
        ),
        pytest.param(
            project(data={"format": "paddleformers"}),
            "data.format: found paddleformers; SFT of ERNIEKit reads erniekit",
            id="another toolkit's lines",
        ),
        pytest.param(
            project(training={"freeze_vision": True}),
            "training.freeze_vision: a text model has no vision tower",
            id="freeze",
        ),
        pytest.param(
            project(erniekit={"use_erniekit": False}),
            "use_erniekit: found false, and the backend is erniekit",
            id="use",
        ),
        pytest.param(
            project(paddleformers={"extra": {"packing": True}}),
            "paddleformers.extra: is for another toolkit than the backend, erniekit",
            id="extra of the other toolkit",
        ),
        pytest.param(
            paddleformers_project(training={"quantization": "fp8"}, lora={"enabled": False}),
            "found fp8; PaddleFormers has wint8, wint4, wint4/8, nf4",
            id="fp8 in PaddleFormers",
        ),
        pytest.param(
            paddleformers_project(OCR_VL, training={"method": "OCR-VL-SFT"}, data={"format": "paddleformers"}),
            "training.method: PaddleFormers trains PaddleOCR-VL with VL-SFT",
            id="ERNIEKit's stage in PaddleFormers",
        ),
        pytest.param(
            paddleformers_project(VL_TORCH, data={"format": "paddleformers"}),
            "without a pipeline it passes neither images nor positions to a model with LoRA",
            id="ERNIE-VL with LoRA in PaddleFormers",
        ),
        pytest.param(paddleformers_project(DENSE), "baidu/ERNIE-4.5-0.3B-PT", id="Paddle weights in PaddleFormers"),
        pytest.param(project("baidu/ERNIE-4.5-0.3B-PT"), "baidu/ERNIE-4.5-0.3B-Paddle", id="torch weights in ERNIEKit"),
        pytest.param(
            project(MOE, parallel={"sharding": 2, "sharding_stage": "stage3"}),
            "parallel.sharding_stage: with stage3 ERNIEKit writes another kind of checkpoint",
            id="stage3",
        ),
        pytest.param(
            paddleformers_project(
                lora={"enabled": False}, parallel={"pipeline": 2}, training={"per_device_eval_batch_size": 2}
            ),
            "training.per_device_eval_batch_size: found 2; in a pipeline it must equal that of training, 1",
            id="two batch sizes in a pipeline of PaddleFormers",
        ),
        pytest.param(
            paddleformers_project(parallel={"sharding": 2}, paddleformers={"extra": {"amp_master_grad": False}}),
            "paddleformers.extra.amp_master_grad: is false, and PaddleFormers stops without it",
            id="gradients in PaddleFormers' sharding",
        ),
        pytest.param(
            paddleformers_project(
                OCR_VL, data={"format": "paddleformers"}, training={"freeze_vision": False}, lora={"lora_dropout": 0.1}
            ),
            "lora.lora_dropout: found 0.1; PaddleFormers itself trains without dropout, so training starts from an "
            "initial adapter: PaddleFormers would then not adapt the vision tower, and training.freeze_vision is false",
            id="the vision tower with an initial adapter",
        ),
        pytest.param(
            paddleformers_project(lora={"enabled": False}, training={"method": "DPO"}, data={"preference": True}),
            "lora.enabled: DPO of all weights fails in one process",
            id="DPO of every weight in PaddleFormers",
        ),
        pytest.param(
            project(MOE, parallel={"tensor": 8}),
            "parallel.tensor: found 8; baidu/ERNIE-4.5-21B-A3B-Paddle has 4 key-value heads, which it must divide",
            id="more GPUs than heads",
        ),
        pytest.param(
            project(parallel={"pipeline": 20}),
            "baidu/ERNIE-4.5-0.3B-Paddle has 18 layers",
            id="more stages than layers",
        ),
        pytest.param(
            project(erniekit={"extra": {"adam_beta2": float("nan")}}),
            "erniekit.extra.adam_beta2: found nan, which is not a finite number",
            id="nan",
        ),
        pytest.param(
            project(run_name="a${b"), "run_name: found 'a${b'; the toolkit reads ${…} as a reference", id="a reference"
        ),
        pytest.param(project("baidu/ERNIE-4.5-8B"), "no published model baidu/ERNIE-4.5-8B", id="no such model"),
        pytest.param(
            project(erniekit={"version": "1.9"}),
            "project erniekit.version: version 1.9 is not known here",
            id="no such version",
        ),
    ],
)
def test_refuses_what_the_toolkit_cannot_do(given: Project, text: str) -> None:
    found = refusal(given)
    assert text in found
    assert "→" in found


@pytest.mark.parametrize(
    "given",
    [
        project(),
        project(MOE, parallel={"tensor": 2, "sharding": 4, "sharding_stage": "stage2"}),
        project(MOE, parallel={"gpus": 2, "sharding": 2}, erniekit={"extra": {"tensorwise_offload_optimizer": True}}),
        dpo_project(MOE),
        image_project(),
        image_project(erniekit={"version": "1.3.0"}),
        image_project(parallel={"gpus": 4, "tensor": 2}, lora={"enabled": False}),
        image_project(parallel={"gpus": 4, "tensor": 2}, training={"quantization": "wint8"}),
        ocr_project(),
        paddleformers_project(OCR_VL, data={"format": "paddleformers"}),
        paddleformers_project(VL_TORCH, data={"format": "paddleformers"}, parallel={"pipeline": 2}),
        paddleformers_project(erniekit={"use_erniekit": False}),
    ],
)
def test_accepts_what_the_toolkit_can_do(given: Project) -> None:
    assert problems_of_project(given) == []
    assert settings(given)["do_train"] is True


def test_two_split_matrices_are_two_problems() -> None:
    found = problems_of_project(project(lora={"target_modules": ["q_proj", "up_proj"]}))
    assert [problem.hint for problem in found] == [
        "list all of q_proj, k_proj, v_proj, or none",
        "list all of gate_proj, up_proj, or none",
    ]


def test_all_problems_are_reported_together() -> None:
    given: dict[str, Any] = {
        "lora": {"target_modules": ["q_proj"]},
        "training": {"per_device_eval_batch_size": 3},
        "erniekit": {"use_erniekit": False, "extra": {"lora_rnk": 3}},
    }
    text = refusal(project("baidu/ERNIE-4.5-8B", **given))
    keys = ("model_name_or_path", "target_modules", "per_device_eval_batch_size", "use_erniekit", "lora_rnk")
    assert [key for key in keys if key not in text] == []


def test_hint_of_images_on_a_cpu_names_paddleformers() -> None:
    assert "set backend: paddleformers" in refusal(ocr_project(training={"device": "cpu"}))


def test_refuses_a_vl_model_on_a_cpu() -> None:
    assert VL in refusal(project(VL, training={"device": "cpu"}, data={"format": "erniekit-vl"}))
