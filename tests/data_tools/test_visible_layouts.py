"""Recall and precision on pages of four languages with wrapped cells and three number formats."""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from einvoice_examples import text_pdf

from data_tools.pages.pdf import text_layer
from data_tools.synthesize.content import make_invoice
from data_tools.synthesize.corrections import canonical_answer
from data_tools.synthesize.invoice import SyntheticInvoice
from data_tools.visibility import drop_unseen, page_mismatch, page_text
from data_tools.visibility.boxes import read_lines
from erniekit_adapter.documents.invoice.answer import as_json, read_answer
from erniekit_adapter.documents.loading import INVOICE

DOCUMENTS = 80
HEADS = (
    ("Pos", "Bezeichnung", "Menge", "Einzelpreis", "MwSt", "Gesamt"),
    ("#", "Description", "Qty", "Unit price", "VAT", "Amount"),
    ("N", "Désignation", "Qté", "Prix unitaire", "TVA", "Montant HT"),
    ("", "Descrizione", "Quantità", "Prezzo", "IVA", "Importo"),
)
LABELS = (
    ("Zwischensumme", "MwSt.", "Gesamtbetrag"),
    ("Subtotal", "VAT", "Total"),
    ("Total HT", "TVA", "Total TTC"),
    ("Imponibile", "IVA", "Totale"),
)
MORE = ((), ("blue lacquered",), ("with mounting bracket", "and 4 screws M8"), ("Art. 4711-7",))
Page = tuple[dict[str, Any], Any]


def amount(value: Decimal, style: int) -> str:
    plain = f"{value:,.2f}"
    if style == 0:
        return plain
    return plain.replace(",", "_").replace(".", ",").replace("_", "." if style == 1 else " ")


def drawn(invoice: SyntheticInvoice, descriptions: list[tuple[str, ...]], rng: random.Random) -> bytes:
    """Return a PDF page with a table whose amounts are in the first line of their cell, or half a line lower."""
    style, language = rng.randrange(3), rng.randrange(4)
    lines: list[tuple[float, float, float, str]] = []
    vendor, client, y = invoice.vendor, invoice.client, 770.0

    def put(*cells: tuple[float, str], down: float = 13) -> None:
        nonlocal y
        lines.extend((x, y, 9, text) for x, text in cells)
        y -= down

    put((50, vendor.name))
    put((50, vendor.address), (350, f"Nr. {invoice.invoice_id}"))
    put((50, f"{vendor.postal_code} {vendor.city}"), (350, f"{invoice.issue_date:%d.%m.%Y}"))
    put((50, vendor.phone or "-"), (350, f"{invoice.due_date:%d.%m.%Y}"))
    put((50, vendor.email or "-"), down=30)
    put((50, client.name))
    put((50, client.address))
    put((50, f"{client.postal_code} {client.city}"), down=30)
    put(*zip((50, 75, 300, 350, 430, 500), HEADS[language], strict=True), down=16)
    for number, (item, parts) in enumerate(zip(invoice.items, descriptions, strict=True), start=1):
        lines.extend((75, y - 12 * place, 9, part) for place, part in enumerate(parts))
        lines.append((50, y, 9, str(number)))
        middle = y - rng.choice((0, 6)) * (len(parts) - 1)
        unit = rng.choice(("", " Stk"))
        cells = (f"{item.quantity}{unit}", amount(item.unit_price, style), f"{invoice.tax_rate.normalize():f}%")
        lines.extend((x, middle, 9, text) for x, text in zip((300, 350, 430), cells, strict=True))
        lines.append((500, middle, 9, amount(item.net, style)))
        y -= 12 * len(parts) + 8
    subtotal, tax, total = LABELS[language]
    put((350, subtotal), (500, amount(invoice.subtotal, style)))
    if invoice.discount_total:
        put((350, "Rabatt"), (500, f"-{amount(invoice.discount_total, style)}"))
    put((350, f"{tax} {invoice.tax_rate.normalize():f} %"), (500, amount(invoice.tax_total, style)))
    put((350, f"{total} {invoice.currency}"), (500, amount(invoice.grand_total, style)), down=30)
    put((50, invoice.payment_terms or "-"))
    return text_pdf(lines)


@cache
def pages() -> list[Page]:
    """Return the answer and the text layer of each document."""
    return list(_pages())


def _pages() -> Iterator[Page]:
    for index in range(DOCUMENTS):
        invoice, rng = make_invoice(11, index, fault_share=0), random.Random(index)  # noqa: S311 - layouts
        answer = canonical_answer(invoice)
        answer["structured_data"]["financial_summary"]["taxes"][0]["type"] = "VAT"
        descriptions = []
        for item, row in zip(invoice.items, answer["structured_data"]["line_items"], strict=True):
            descriptions.append((item.description, *rng.choice(MORE)))
            row["description"] = " ".join(descriptions[-1])
        yield as_json(read_answer(answer)), text_layer(drawn(invoice, descriptions, rng))


def as_lines(ocr: Any) -> str:
    return "\n".join(line.text for line in read_lines(ocr))


@pytest.mark.parametrize(("with_boxes", "most_lost"), [(True, 3), (False, 12)])
def test_recall_of_true_values(with_boxes: bool, most_lost: int) -> None:
    lost: Counter[str] = Counter()
    for answer, ocr in pages():
        value, page = copy.deepcopy(answer), page_text(ocr if with_boxes else as_lines(ocr))
        lost.update(drop_unseen(INVOICE, value["structured_data"], page))
        assert page_mismatch(INVOICE, answer["structured_data"], value["structured_data"], page, 0.5) is None
    assert lost.total() <= most_lost, lost


def test_detects_the_ground_truth_of_another_invoice() -> None:
    found = pages()
    for place, (answer, _) in enumerate(found):
        value, page = copy.deepcopy(answer), page_text(found[place - 1][1])
        drop_unseen(INVOICE, value["structured_data"], page)
        assert page_mismatch(INVOICE, answer["structured_data"], value["structured_data"], page, 0.5)


@pytest.mark.parametrize(("with_boxes", "most_kept"), [(True, 0.08), (False, 0.08)])
@pytest.mark.parametrize("field", ["quantity", "unit_price", "total"])
def test_precision_against_values_of_other_rows(field: str, with_boxes: bool, most_kept: float) -> None:
    tried = kept = 0
    for answer, ocr in pages():
        value = copy.deepcopy(answer)
        rows = value["structured_data"]["line_items"]
        other = rows[-1][field]
        if len(rows) < 2 or other in rows[0].values():
            continue
        rows[0][field] = other
        gone = drop_unseen(INVOICE, value["structured_data"], page_text(ocr if with_boxes else as_lines(ocr)))
        tried, kept = tried + 1, kept + (f"line_items[].{field}" not in gone)
    assert kept <= most_kept * tried
