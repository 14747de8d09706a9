"""Build the body of a chat completion request: the prompt of training, and limits on its size."""

from __future__ import annotations

import base64
import re
from typing import Any

from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.service.settings import ServiceSettings

_IMAGE_STARTS = (
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
)


# Limits of data that is written as JSON in less than a millisecond.
_SMALL_VALUES, _SMALL_CHARACTERS = 1000, 20_000


def is_small(ocr: object) -> bool:
    """Return whether OCR data is written as JSON quickly; reads only as much of it as that takes."""
    waiting, values, characters = [ocr], 0, 0
    while waiting:
        value = waiting.pop()
        values += 1
        if isinstance(value, (dict, list, tuple)) and values + len(waiting) + len(value) > _SMALL_VALUES:
            return False
        if isinstance(value, str):
            characters += len(value)
        elif isinstance(value, dict):
            characters += sum(len(name) for name in value if isinstance(name, str))
            waiting += value.values()
        elif isinstance(value, (list, tuple)):
            waiting += value
        if characters > _SMALL_CHARACTERS:
            return False
    return True


def image_type(image: bytes) -> str | None:
    """Return the media type of a JPEG, PNG or WebP by its first bytes; None for anything else."""
    return next((name for start, name in _IMAGE_STARTS if start.match(image)), None)


def chat_body(
    settings: ServiceSettings, ocr: object | None, image: bytes | None, document_type: DocumentType = INVOICE
) -> dict[str, Any]:
    """Return the body of the request, without the model's name and the schema of the answer.

    Args:
        settings: limits, tokens and temperature.
        ocr: output of the OCR engine, any JSON value; None without OCR.
        image: the page as JPEG, PNG or WebP; None without an image.
        document_type: the document's type, whose prompt is sent.

    Raises:
        ValueError: both are missing, one is too long, the image type is unknown, or the OCR data is not JSON.
    """
    if image is not None and not image:
        raise ValueError("the image is empty")
    if ocr is None and image is None:
        raise ValueError("neither OCR data nor an image was given")
    media_type = None
    if image is not None:
        if len(image) > settings.max_image_bytes:
            raise ValueError(f"the image has {len(image):,} bytes, more than {settings.max_image_bytes:,}")
        if not (media_type := image_type(image)):
            raise ValueError("the image is not a JPEG, PNG or WebP")
    content: str | list[dict[str, Any]] = _text(settings, document_type, ocr, with_image=image is not None)
    if image is not None:
        url = f"data:{media_type};base64,{base64.b64encode(image).decode()}"
        content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": content}]
    kwargs = settings.chat_template_kwargs
    return {
        "messages": [{"role": "user", "content": content}],
        "max_tokens": settings.max_tokens,
        "temperature": settings.temperature,
        "stream": False,
        **({"chat_template_kwargs": kwargs} if kwargs else {}),
    }


def _text(settings: ServiceSettings, document_type: DocumentType, ocr: object | None, *, with_image: bool) -> str:
    prompts = document_type.prompts
    try:
        text = prompts.analysis_request(ocr, with_image=with_image)
        text.encode()  # half a surrogate pair cannot be sent
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the OCR data is not a JSON value: {str(error)[:200]}") from error
    if len(text) - len(prompts.constant_part(text)) > settings.max_ocr_characters and prompts.ocr_mark in text:
        raise ValueError(f"the OCR data has more than {settings.max_ocr_characters:,} characters as JSON")
    return text
