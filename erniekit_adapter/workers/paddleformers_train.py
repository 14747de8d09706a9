"""PaddleFormers' training in one process, with preparations that PaddleFormers leaves out.

Observed in 1.2.0 with one process: resuming from a checkpoint needs a fleet that is not initialised, and gradient
accumulation waits for a GPU also on a CPU. With several processes PaddleFormers initialises the fleet itself.

Run as `PYTHON …/workers/start.py paddleformers_train SETTINGS.yaml`.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Train with a settings file."""
    import paddle
    from paddle.distributed import fleet

    fleet.init(is_collective=True)
    if not paddle.device.is_compiled_with_cuda():
        paddle.device.synchronize = lambda *device: None
    # PaddleFormers reads the name of the file from the command line `paddleformers-cli train FILE`.
    sys.argv = ["paddleformers-cli", "train", sys.argv[1]]
    from paddleformers.cli.train.tuner import run_tuner

    run_tuner()


if __name__ == "__main__":
    main()
