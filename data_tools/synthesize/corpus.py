"""Text for training a tokenizer: requests and answers of synthetic invoices."""

from __future__ import annotations

from pathlib import Path

from data_tools.synthesize.content import make_invoice
from data_tools.synthesize.corrections import canonical_answer, ocr_tokens
from erniekit_adapter.documents.json_text import compose
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.files import writing


def write_corpus_text(output: Path, count: int, seed: int) -> None:
    """Write the requests and answers of `count` invoices as one UTF-8 text file; same arguments, same bytes.

    Raises:
        AdapterError: the file cannot be written.
    """
    with writing(output) as stream:
        for index in range(count):
            invoice = make_invoice(seed, index, fault_share=0.1)
            request = INVOICE.prompts.analysis_request(ocr_tokens(invoice), with_image=False)
            stream.write(f"{request}\n{compose(canonical_answer(invoice))}\n".encode())
