"""Building a tiny ERNIE 4.5 with random weights in the toolkit's environment, to try all stages."""

from __future__ import annotations

from pathlib import Path

from erniekit_adapter.backends.environments.installed import find_erniekit
from erniekit_adapter.backends.processes.failures import description_of_failure
from erniekit_adapter.backends.processes.process import run_logged
from erniekit_adapter.errors import AdapterError, UsageError, failure, usage_error
from erniekit_adapter.files import read_bytes

STALL_S = 600.0


def _check_text(path: Path) -> None:
    try:
        text = read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise usage_error(path, f"not UTF-8 text: {error}", "save it as UTF-8") from error
    except AdapterError as error:
        raise UsageError(error.problems) from error
    if not text.strip("\0 \n\r\t"):
        raise usage_error(path, "contains no text", "erniekit-adapter data corpus writes such a file")


def build_tiny_model(corpus: Path, output: Path, seed: int) -> None:
    """Build a tiny dense model with a tokenizer trained on a text file and random weights from the seed.

    Raises:
        UsageError: the text file does not exist, is larger than 64 MiB, or contains no UTF-8 text.
        AdapterError: the toolkit failed.
    """
    if not corpus.is_file():
        raise usage_error(corpus, "does not exist", "erniekit-adapter data corpus writes such a file")
    _check_text(corpus)
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
        raise failure("tiny model", description_of_failure(outcome), f"the whole log is {log}")
