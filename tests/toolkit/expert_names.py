"""Print name, shape and type of every tensor of ERNIEKit's mixture of experts, as JSON. For ERNIEKit's environment.

Usage: expert_names.py CONFIG.json. The model is built and not run: its kernels are for GPUs only.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import paddle
from ernie.configuration import Ernie4_5_MoeConfig
from ernie.modeling_moe import Ernie4_5_MoeForCausalLM


def main() -> None:
    paddle.set_device("cpu")
    config = Ernie4_5_MoeConfig(**json.loads(Path(sys.argv[1]).read_text()), moe_group="dummy")
    config.use_flash_attention = False
    tensors = Ernie4_5_MoeForCausalLM(config).state_dict()
    print(json.dumps({name: [tensor.shape, str(tensor.dtype)] for name, tensor in tensors.items()}))


main()
