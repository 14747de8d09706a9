"""The shapes of ground truth, recognised by content; a new shape is one module and one entry here."""

from __future__ import annotations

from typing import Any

from data_tools.sources.shapes.azure import AZURE
from data_tools.sources.shapes.cord import CORD
from data_tools.sources.shapes.funsd import FUNSD
from data_tools.sources.shapes.google import GOOGLE
from data_tools.sources.shapes.invoice2data import INVOICE2DATA
from data_tools.sources.shapes.label_studio import LABEL_STUDIO
from data_tools.sources.shapes.mindee import MINDEE
from data_tools.sources.shapes.shape import Shape
from data_tools.sources.shapes.sroie import SROIE
from data_tools.sources.shapes.textract import TEXTRACT
from data_tools.sources.shapes.wildreceipt import WILDRECEIPT

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
)


def recognise(value: Any) -> Shape | None:
    """Return the shape of a value; None for canonical answers, flat fields and unknown values.

    A list with one element is recognised by that element, if the shape is of one document.
    """
    if isinstance(value, dict) and "structured_data" in value:
        return None
    return next((shape for shape in SHAPES if shape.matches(value)), None)
