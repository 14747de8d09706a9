"""A stand-in for `erniekit train FILE.yaml` that writes the log and folders of ERNIEKit without training.

The tests in tests/toolkit run the real ERNIEKit. `FAKE_ERNIEKIT` in the environment names the failure to simulate.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import time
from pathlib import Path

import yaml

# Losses of failing runs; the vocabulary has 11 tokens, and ln(11) is 2.398.
LOSSES = {
    "nan": lambda step: "nan",
    "guessing": lambda step: 2.0 if step <= 2 else 2.3978953,
    "nan once": lambda step: "nan" if step == 2 else 1.5,
}
INFO = "\x1b[32m[2026-11-22 18:46:44,349] [    INFO]\x1b[0m - "


def main() -> None:
    behaviour = os.environ.get("FAKE_ERNIEKIT", "")
    settings = yaml.safe_load(Path(sys.argv[2]).read_text())
    output, last = Path(settings["output_dir"]), settings["max_steps"]
    if behaviour == "fail":
        print("Traceback (most recent call last):\nModuleNotFoundError: No module named 'tensorboardX'")
        sys.exit(3)
    if behaviour == "silent":
        time.sleep(60)
    done = [int(path.name.removeprefix("checkpoint-")) for path in output.glob("checkpoint-*")]
    print(f"{INFO}  Total optimization steps = {last}\x1b[0m")
    print(f"{INFO}  Number of trainable parameters = 1,024 (per device)\x1b[0m")
    for step in range(max(done, default=0) + 1, last + 1):
        if step % settings["logging_steps"] == 0:
            loss = LOSSES.get(behaviour, lambda step: 2 - step / 16)(step)
            speed = "interval_steps_per_second: 0.5"
            print(f"{INFO}loss: {loss}, learning_rate: 0.0004, global_step: {step}, {speed}\x1b[0m")
        if step % settings["save_steps"] == 0:
            write_adapter(output / f"checkpoint-{step}", step, last, behaviour)
        if behaviour == f"killed after {step}":
            os.kill(os.getpid(), 9)
        if behaviour == f"slow after {step}":
            print("waiting", flush=True)
            time.sleep(60)
    if behaviour != "no weights":
        write_adapter(output, last, last, behaviour)
    print(f"{INFO}eval_loss: 6.268, eval_runtime: 0.0619, progress_or_epoch: 0.5\x1b[0m")
    print(f"{INFO}train_runtime: 1.3851, train_loss: 6.30, progress_or_epoch: 1.0\x1b[0m")


def write_adapter(folder: Path, step: int, last: int, behaviour: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # Without numpy, whose import takes longer than the rest of a run.
    tensor = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
    header = json.dumps({"ernie.layers.0.self_attn.o_proj.lora_A": tensor}).encode()
    data = struct.pack("<6f", *[float("nan") if behaviour == "nan weights" else 0.5] * 6)
    (folder / "peft_model-00001-of-00001.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + data)
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step, "max_steps": last}))
    (folder / "peft_model.safetensors.index.json").write_text('{"weight_map": {}}')
    (folder / "lora_config.json").write_text("{}")


main()
