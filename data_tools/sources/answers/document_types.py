"""Names of document types: credit notes, invoices and receipts, in six languages."""

from __future__ import annotations

import unicodedata

_CREDIT_NOTES = frozenset({
    "creditnote", "creditmemo", "creditinvoice", "refund", "gutschrift", "rechnungskorrektur", "stornorechnung",
    "avoir", "factureavoir", "facturedavoir", "notedecredit", "abono", "notadecredito", "notadeabono",
    "facturarectificativa", "notadicredito", "notacredito", "creditnota", "creditfactuur",
})  # fmt: skip
_INVOICES = frozenset({
    "invoice", "taxinvoice", "receipt", "bill", "rechnung", "eingangsrechnung", "ausgangsrechnung", "quittung",
    "kassenbon", "facture", "recu", "ticket", "factura", "recibo", "fattura", "ricevuta", "scontrino", "factuur",
    "bon", "kassabon",
})  # fmt: skip


def is_document_type(text: object) -> bool:
    """Return whether a text is a name of invoices, receipts or credit notes."""
    return _key(text) in _CREDIT_NOTES | _INVOICES


def is_credit_note(text: str) -> bool:
    """Return whether a text is a name of credit notes."""
    return _key(text) in _CREDIT_NOTES


def _key(text: object) -> str:
    """Return a name without case, accents, blanks and punctuation."""
    plain = unicodedata.normalize("NFKD", str(text)[:100]).casefold()
    return "".join(letter for letter in plain if letter.isascii() and letter.isalnum())
