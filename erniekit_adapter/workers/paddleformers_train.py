"""PaddleFormers' training in one process, made ready for what it leaves to a package that is not to be had.

Seen in 1.2.0, with one process: resuming from a checkpoint asks for a fleet that nobody has started, and gradient
accumulation waits for a GPU on a CPU as well. With several processes PaddleFormers starts the fleet itself.

Run as `python -m erniekit_adapter.workers.paddleformers_train SETTINGS.yaml`.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Train as the settings file says."""
    import paddle
    from paddle.distributed import fleet

    fleet.init(is_collective=True)
    if not paddle.device.is_compiled_with_cuda():
        paddle.device.synchronize = lambda *device: None
    # Its reader of settings takes the file from the command line, as `paddleformers-cli train FILE` gives it.
    sys.argv = ["paddleformers-cli", "train", sys.argv[1]]
    from paddleformers.cli.train.tuner import run_tuner

    run_tuner()


if __name__ == "__main__":
    main()
