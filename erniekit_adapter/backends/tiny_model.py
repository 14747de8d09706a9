"""A tiny ERNIE 4.5 with random weights, built in the toolkit's environment: something to try every stage with."""

from __future__ import annotations

from pathlib import Path

from erniekit_adapter.backends.failures import description_of_failure
from erniekit_adapter.backends.installed import find_erniekit
from erniekit_adapter.backends.process import run_logged
from erniekit_adapter.errors import fail, misuse

STALL_S = 600.0


def build_tiny_model(corpus: Path, output: Path, seed: int) -> None:
    """Build a tiny dense model whose tokenizer is trained on a text file; its random weights follow from the seed.

    Raises:
        UsageError: there is no such text file.
        AdapterError: the toolkit failed.
    """
    if not corpus.is_file():
        raise misuse(corpus, "no such text file", "python -m data_tools corpus writes one")
    toolkit = find_erniekit()
    output.parent.mkdir(parents=True, exist_ok=True)
    log = output.with_name(f"{output.name}.log")
    log.unlink(missing_ok=True)
    arguments = ("--corpus", str(corpus.resolve()), "--output", str(output.resolve()), "--seed", str(seed))
    outcome = run_logged(
        toolkit.worker("erniekit_tiny_model", *arguments),
        folder=output.parent,
        environment=toolkit.environment(on_cpu=True),
        log=log,
        stall_s=STALL_S,
    )
    if outcome.exit_code != 0 or outcome.stalled:
        raise fail("tiny model", description_of_failure(outcome), f"the whole log is {log}")
