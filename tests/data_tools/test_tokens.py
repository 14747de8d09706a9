from __future__ import annotations

from pathlib import Path

import pytest
from data_examples import correction, numbered, write_lines

from data_tools.build_settings import BuildSettings
from data_tools.pipeline.build import build
from data_tools.pipeline.tokens import histogram, token_counter
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.project.schema import ActiveLearningSource


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import sentencepiece

    folder = tmp_path_factory.mktemp("model")
    (folder / "text.txt").write_text("the lines sum to the subtotal and the taxes to the total\n" * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text.txt"),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=40,
        model_type="bpe",
        byte_fallback=False,
        minloglevel=2,
    )
    return folder / "tokenizer.model"


def test_counts_tokens_of_the_models_tokenizer(tokenizer: Path) -> None:
    count = token_counter(tokenizer, INVOICE.prompts.constant_part)
    assert 0 < count("the lines") < count("the lines sum to the total")


@pytest.mark.parametrize("content", [None, b"", b"no model"])
def test_an_invalid_tokenizer_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "tokenizer.model"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AdapterError, match=r"tokenizer\.model"):
        token_counter(path, INVOICE.prompts.constant_part)("text")


def test_rejects_an_example_that_is_too_long(tokenizer: Path, tmp_path: Path) -> None:
    long = numbered(correction(), 2)
    long["ocr_context"]["structured_ocr"]["tokens"].append("the total " * 5000)
    path = write_lines(tmp_path / "log.jsonl", [correction(), long])
    settings = BuildSettings(0, 0, max_seq_length=4096, tokenizer=tokenizer)
    found = build([ActiveLearningSource(kind="active_learning", path=path)], tmp_path / "out", settings)
    assert found.by_filter == {"length": 1}
    assert "more than max_seq_length 4096" in found.first_reasons["length"]
    assert sum(found.tokens.values()) == 1
    assert found.settings["tokenizer"]["sha256"]


def test_histogram_bins_are_quarters_of_doublings() -> None:
    counted = histogram({1: 2, 256: 1, 257: 3, 500: 1, 513: 1, 3000: 1})
    assert counted == {"up to 256": 3, "up to 320": 3, "up to 512": 1, "up to 640": 1, "up to 3072": 1}
    assert histogram({}) == {}
