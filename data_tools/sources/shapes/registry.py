"""The shapes of ground truth, recognised by content; a new shape is one module and one entry here."""

from __future__ import annotations

from typing import Any

from data_tools.sources.declared.objects import is_envelope, is_own_structure
from data_tools.sources.shapes.azure import AZURE
from data_tools.sources.shapes.cord import CORD
from data_tools.sources.shapes.fapiao import BAIDU, TENCENT
from data_tools.sources.shapes.funsd import FUNSD
from data_tools.sources.shapes.google import GOOGLE
from data_tools.sources.shapes.invoice2data import INVOICE2DATA
from data_tools.sources.shapes.label_studio import LABEL_STUDIO
from data_tools.sources.shapes.mindee import MINDEE
from data_tools.sources.shapes.shape import Shape
from data_tools.sources.shapes.sroie import SROIE
from data_tools.sources.shapes.textract import TEXTRACT
from data_tools.sources.shapes.wildreceipt import WILDRECEIPT
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import INVOICE

SHAPES: tuple[Shape, ...] = (
    LABEL_STUDIO,
    CORD,
    SROIE,
    FUNSD,
    WILDRECEIPT,
    INVOICE2DATA,
    TEXTRACT,
    AZURE,
    GOOGLE,
    MINDEE,
    BAIDU,
    TENCENT,
)


def recognise(value: Any, document_type: DocumentType = INVOICE) -> Shape | None:
    """Return the shape of a value; None for canonical answers, flat fields and unknown values.

    A list with one element is recognised by that element, if the shape is of one document. A declared type may have
    the keys of a service: an object with its own keys is not output of that service.
    """
    if document_type is not INVOICE and is_envelope(value, document_type):
        return None
    if isinstance(value, dict) and "structured_data" in value:
        return None
    shape = next((shape for shape in SHAPES if shape.matches(value)), None)
    if shape is not None and shape.model and document_type is not INVOICE and is_own_structure(value, document_type):
        return None
    return shape
