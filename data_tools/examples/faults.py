"""Inject faults into a document that keeps its rules, so that a model learns to name broken rules."""

from __future__ import annotations

import random

from data_tools.examples.declared_faults import inject_declared_fault
from data_tools.examples.invoice_faults import inject_invoice_fault
from erniekit_adapter.documents.document_type import AnyAnswer, DocumentType
from erniekit_adapter.documents.invoice.answer import Answer


def inject_fault(
    document_type: DocumentType, answer: AnyAnswer, rng: random.Random, count: int
) -> tuple[AnyAnswer, tuple[str, ...]]:
    """Return an answer with one or two faults, and their kinds; the unchanged answer and () if none fits.

    The kinds of a declared type are the names of the broken rules.

    Args:
        document_type: the type of the document.
        answer: not changed; one that breaks a rule of level error gets no fault.
        rng: equal states give equal faults.
        count: number of faults, 1 or 2.
    """
    if isinstance(answer, Answer):
        return inject_invoice_fault(answer, rng, count)
    return inject_declared_fault(document_type, answer, rng, count)
