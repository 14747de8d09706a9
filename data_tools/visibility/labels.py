"""Labels beside the values of invoices, in English, German, French, Spanish, Italian, Dutch and CJK."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from typing import Literal

Column = Literal["description", "quantity", "price", "tax", "total"]

# Column names of a table; the longest match counts: `Unit price` is not `Price`.
COLUMNS: dict[Column, tuple[str, ...]] = {
    "description": (
        "description", "item", "items", "article", "product", "service", "services", "services rendered", "details",
        "bezeichnung", "beschreibung", "artikel", "leistung", "position", "désignation", "designation", "libellé",
        "descripción", "concepto", "descrizione", "omschrijving", "品名", "品目", "货物或应税劳务名称",
        "货物或应税劳务、服务名称", "项目名称", "项目", "商品名", "摘要", "内容", "명칭", "품목",
    ),
    "quantity": (
        "quantity", "qty", "units", "hours", "hrs", "days", "no. of", "menge", "anzahl", "anz", "stück", "stk",
        "stunden", "quantité", "qté", "qte", "cantidad", "cant", "unidades", "uds", "quantità", "q.tà", "qtà",
        "aantal", "数量", "個数", "수량",
    ),
    "price": (
        "unit price", "unit cost", "price per unit", "price each", "price", "each", "rate", "cost", "einzelpreis",
        "e-preis", "einzel", "ep", "stückpreis", "preis", "preis pro einheit", "prix unitaire", "prix unit", "prix",
        "p.u", "pu ht", "pu", "precio unitario", "precio", "p. unitario", "p. unit", "prezzo unitario", "prezzo",
        "prijs per stuk", "stukprijs", "eenheidsprijs", "prijs", "ansatz", "tarif", "day rate", "hourly rate",
        "tarifa", "tariffa", "tarief", "単価", "单价", "단가",
    ),
    "tax": (
        "vat", "vat rate", "vat %", "vat%", "tax", "tax rate", "gst", "gst rate", "mwst", "mwst%", "ust", "ust%",
        "steuersatz", "tva", "taux tva", "taux", "iva", "aliquota", "tipo", "btw", "btw%", "税率", "税额", "税額",
        "税", "세율", "discount", "disc", "rabatt", "remise", "descuento", "dto", "sconto", "korting",
    ),
    "total": (
        "line total", "total price", "net amount", "extended", "extension", "amount", "total", "sum", "net",
        "gesamtpreis", "gesamt", "gesamtbetrag", "betrag", "summe", "nettobetrag", "netto", "gp", "montant ht",
        "montant", "prix total", "total ht", "total ttc", "importe", "importe total", "importo", "totale",
        "prezzo totale", "bedrag", "totaal", "totaalprijs", "金額", "金额", "小計", "小计", "金額(税抜)", "금액",
    ),
}  # fmt: skip

# Labels of the total with tax; the line must begin with one, to exclude subtotals.
TOTALS = (
    "grand total", "invoice total", "total amount due", "total amount", "total due", "total incl. vat",
    "total including vat", "total incl vat", "total (incl. vat)", "total inc vat", "total payable", "amount payable",
    "total", "gesamtbetrag", "gesamtsumme", "gesamt brutto", "gesamt", "rechnungsbetrag", "endbetrag",
    "bruttobetrag", "rechnungssumme", "total ttc", "montant total ttc", "montant ttc", "montant total",
    "importe total", "total a pagar", "total factura", "totale fattura", "totale documento", "totale da pagare",
    "totale", "totaal incl. btw", "totaal incl btw", "totaalbedrag", "totaal", "合計金額", "合計", "价税合计",
    "総計", "総額", "ご請求金額", "请付总额", "总计", "合计", "总金额", "합계", "총액",
)  # fmt: skip
# Labels of the last balance of a statement.
CLOSING_BALANCES = (
    "closing balance", "ending balance", "new balance", "balance carried forward", "neuer saldo", "endsaldo",
    "neuer kontostand", "kontostand neu", "schlusssaldo", "nouveau solde", "solde final", "saldo final",
    "saldo finale", "nieuw saldo", "eindsaldo", "期末余额", "本期余额", "账户余额", "期末残高", "기말잔액",
)  # fmt: skip
# Labels of amounts that may differ from the total with tax: such a row is neither a total nor a line item.
OTHER_AMOUNTS = (
    "amount due", "balance due", "balance", "zahlbetrag", "zu zahlen", "zahlbar", "net à payer", "te betalen",
    "paid", "anzahlung", "subtotal", "sub total", "sub-total", "net total", "total net", "total excl",
    "total before", "total without", "total tax", "total vat", "total gst", "total discount", "total qty",
    "total quantity", "total items", "total hours", "zwischensumme", "nettosumme", "summe netto", "netto",
    "gesamt netto", "gesamtbetrag netto", "gesamtsumme netto", "sous-total", "sous total", "total ht", "total hors",
    "total tva", "montant total ht", "base imponible", "total iva", "total bruto", "imponibile", "totale imponibile",
    "totale iva", "totale netto", "subtotaal", "totaal excl", "totaal btw", "totaal exclusief", "tax", "vat", "mwst",
    "ust", "tva", "iva", "btw", "gst", "小計", "小计", "消費税", "税額", "税额", "增值税", "discount", "rabatt",
    "remise", "descuento", "sconto", "korting", "shipping", "versand", "rounding", "summe", "sum",
)  # fmt: skip
CREDIT_NOTE = (
    "credit note", "credit memo", "credit invoice", "gutschrift", "rechnungskorrektur", "korrekturrechnung",
    "stornorechnung", "facture d'avoir", "note de crédit", "avoir", "nota de crédito", "factura rectificativa",
    "nota di credito", "nota di accredito", "creditnota", "creditfactuur", "kreditnota", "kreditfaktura", "贷记",
    "红字", "貸記", "返金", "赤伝", "クレジットノート", "대변",
)  # fmt: skip


def printed(labels: Iterable[str], text: str) -> re.Match[str] | None:
    """Return the first of some labels in a text, as whole words in any case."""
    return label_pattern(tuple(labels)).search(text)


@lru_cache(maxsize=512)
def label_pattern(labels: tuple[str, ...]) -> re.Pattern[str]:
    """Return a pattern for any of the labels; the longest match wins."""
    longest = sorted(labels, key=len, reverse=True)
    return re.compile("|".join(_as_words(label) for label in longest), re.IGNORECASE)


def _as_words(label: str) -> str:
    escaped = r"\s?".join(map(re.escape, label.split()))
    # Scripts without blanks between words have labels directly beside other words.
    return escaped if label[0] >= "\u2e80" else rf"(?<![^\W\d_]){escaped}(?![^\W\d_])"


@cache
def _column_pattern() -> tuple[re.Pattern[str], dict[str, Column]]:
    kinds: dict[str, Column] = {}
    for kind, labels in COLUMNS.items():
        kinds |= {"".join(label.split()): kind for label in labels}
    return label_pattern(tuple(label for labels in COLUMNS.values() for label in labels)), kinds


@cache
def _head_words() -> frozenset[str]:
    return frozenset(re.split(r"[^\w]", label)[0] for labels in COLUMNS.values() for label in labels)


def may_be_head(words: frozenset[str]) -> bool:
    """Return whether the words of a line, in lower case, can be column names: a quick check before a thorough one."""
    known = _head_words()
    found = sum(word in known for word in words)
    return found > 1 or any(word[0] >= "\u2e80" for word in words)


def column_heads(text: str) -> Iterator[tuple[Column, int, int]]:
    """Yield the column names in a line with their start and end."""
    pattern, kinds = _column_pattern()
    for found in pattern.finditer(text):
        yield kinds["".join(found[0].casefold().split())], found.start(), found.end()
