"""The pretraining mix: seeded conversations about invented invoices; the program writes them as JSON lines."""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

from data_tools.synthesize.content import make_invoice
from data_tools.synthesize.invoice import Company, Item, SyntheticInvoice
from data_tools.synthesize.page_layout import postal_address, text_lines
from data_tools.synthesize.streams import random_stream
from tiny_base import words
from tiny_base.tasks import Document, Turn, copy_turn, echo_turn, field_turn, turn

# Far from the seeds of documents for fine-tuning.
FIRST_SEED = 1_000_000
_FAULT_SHARE = 0.1
_LONG_PROSE_SHARE = 0.15
_LEADS = ("", "", "Text:", "OCR:", "Page:", "The document:", "Lines read:", "Input:", "Data:", "OCR text:")


@dataclass(frozen=True)
class Conversation:
    """A document with a first question, and further questions about it."""

    document: Document
    turns: tuple[Turn, ...]


def conversation(seed: int, index: int) -> Conversation:
    """Return the conversation at `index` of a series, which depends on `seed` and `index` only."""
    rng = random_stream("tiny base", seed, index)
    document = read_page(invented(rng, make_invoice(FIRST_SEED + seed, index, fault_share=_FAULT_SHARE)))
    first = turn(rng, document)
    opening = replace(first, question=_opening(rng, document, first.question))
    return Conversation(document, (opening, *(turn(rng, document) for _ in range(rng.randint(4, 12)))))


def conversations(seed: int, first: int = 0) -> Iterator[Conversation]:
    """Yield the conversations of a series without end, starting at `first`."""
    index = first
    while True:
        yield conversation(seed, index)
        index += 1


def invented(rng: random.Random, invoice: SyntheticInvoice) -> SyntheticInvoice:
    """Return the invoice with invented names, streets, cities, goods and number; amounts and dates are kept."""
    language = invoice.language
    items = tuple(replace(item, description=words.description(rng, language)) for item in invoice.items)
    return replace(
        invoice,
        invoice_id=_invented_number(rng, invoice.invoice_id),
        vendor=_invented_company(rng, invoice.vendor, language),
        client=_invented_company(rng, invoice.client, language),
        items=items,
    )


def _invented_number(rng: random.Random, number: str) -> str:
    """Return a number with other letters, and with four, six or seven final digits instead of the demo's five."""
    start = number[:-5]
    if rng.random() < 0.3:
        start = "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=rng.randint(1, 3))) + rng.choice(
            ("-", "/", "", " ")
        )
    return start + "".join(rng.choices("0123456789", k=rng.choice((4, 6, 6, 7))))


def _invented_company(rng: random.Random, company: Company, language: str) -> Company:
    names = [words.name(rng) for _ in range(rng.choice((1, 2, 2, 2, 3)))]
    legal_form = company.name.split(" ", 2)[2]
    house = "".join(character for character in company.address if character.isdigit())
    street = words.street(rng, language)
    return replace(
        company,
        name=" ".join([*names, legal_form]),
        address=f"{street} {house}" if language == "de" else f"{house} {street}",
        city=words.city(rng) if rng.random() < 0.6 else company.city,
        email=company.email and f"{company.email.split('@')[0]}@{'-'.join(names)}.example".lower(),
    )


def read_page(invoice: SyntheticInvoice) -> Document:
    """Return the page and fields of an invoice; amounts with decimals, rates as fractions, discounts without sign."""
    vendor, client = invoice.vendor, invoice.client
    fields = {
        "seller": vendor.name,
        "seller_place": postal_address(vendor, invoice.language),
        "seller_phone": vendor.phone,
        "seller_mail": vendor.email,
        "buyer": client.name,
        "buyer_place": postal_address(client, invoice.language),
        "number": invoice.invoice_id,
        "issued": invoice.issue_date.isoformat(),
        "due": invoice.due_date.isoformat(),
        "currency": invoice.currency,
        "subtotal": f"{invoice.subtotal:f}",
        "rate": f"{(invoice.tax_rate / 100).normalize():f}",
        "tax": f"{invoice.tax_total:f}",
        "discount": f"{invoice.discount_total:f}" if invoice.discount_total else None,
        "total": f"{invoice.grand_total:f}",
        "terms": invoice.payment_terms,
    }
    shown = {name: value for name, value in fields.items() if value}
    return Document(tuple(text_lines(invoice)), shown, tuple(_cells(item) for item in invoice.items))


def _cells(item: Item) -> dict[str, str]:
    return {
        "text": item.description,
        "count": str(item.quantity),
        "price": f"{item.unit_price:f}",
        "sum": f"{item.net:f}",
    }


def _opening(rng: random.Random, document: Document, question: str) -> str:
    """Return prose, document and question as one text, with the question before or after the document."""
    prose = words.prose(rng, 200 if rng.random() < _LONG_PROSE_SHARE else 60)
    lead = rng.choice(_LEADS)
    as_json = rng.random() < 0.6
    page = (
        json.dumps({"tokens": document.lines}, ensure_ascii=False, separators=(",", ":"))
        if as_json
        else "\n".join(document.lines)
    )
    page = f"{lead}{rng.choice((' ', chr(10)))}{page}" if lead else page
    parts = [prose, question, page] if rng.random() < 0.5 else [prose, page, question]
    return "\n".join(part for part in parts if part)


def easy_conversation(seed: int, index: int) -> Conversation:
    """Return a conversation about a few lines with copying and single fields only, for the start of pretraining."""
    whole = conversation(seed, index)
    rng = random_stream("tiny base, easy", seed, index)
    start = rng.randrange(len(whole.document.lines))
    lines = whole.document.lines[start : start + rng.randint(3, 9)]
    page = "\n".join(lines)
    fields = {name: value for name, value in whole.document.fields.items() if value in page}
    document = replace(whole.document, lines=lines, fields=fields)
    tasks = (copy_turn, echo_turn, field_turn) if fields else (copy_turn, echo_turn)
    turns = [rng.choice(tasks)(rng, document) for _ in range(rng.randint(3, 7))]
    opening = replace(turns[0], question=_opening(rng, document, turns[0].question))
    return Conversation(document, (opening, *turns[1:]))


def main() -> None:
    """Write conversations as JSON lines, each a list of [question, answer, kind], until the reader closes the pipe."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seed", type=int, default=0, help="number of the series")
    parser.add_argument("--first", type=int, default=0, help="first position in the series")
    parser.add_argument("--easy", type=int, default=0, help="number of easy conversations at the start")
    parser.add_argument("--count", type=int, help="number of conversations; default: no limit")
    options = parser.parse_args()
    index = options.first
    while options.count is None or index < options.first + options.count:
        make = easy_conversation if index - options.first < options.easy else conversation
        turns = [(turn.question, turn.answer, turn.kind) for turn in make(options.seed, index).turns]
        try:
            print(json.dumps(turns, ensure_ascii=False))
        except BrokenPipeError:
            return
        index += 1


if __name__ == "__main__":
    main()
