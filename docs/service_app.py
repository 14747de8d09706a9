"""An example application around the service: documents in, answers out, and a new bundle without a restart.

It needs fastapi and uvicorn in addition to erniekit-adapter. Start it with `ERNIE_VLLM_URL=http://127.0.0.1:8000/v1
ERNIE_MODEL_NAME=tuned uvicorn service_app:app --app-dir docs --port 8080`. For bundles, set ERNIE_PUBLIC_KEY to the key
that signs them, or ERNIE_TRUST=unsigned to accept unsigned ones. It has no authentication: put it behind the proxy that
authenticates users of your other applications.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response

from erniekit_adapter.documents import json_text as jsontext
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.service import ErnieVLMService

# In a real application this comes from its configuration file; the environment overrides it.
CONFIG: dict[str, Any] = {"ernie_vl": {"timeout": 60, "max_concurrency": 16}}
BUNDLES = Path(os.environ.get("ERNIE_BUNDLES", "bundles"))
MAX_BODY_BYTES = 16 * 1024 * 1024
# Temporary failures are 503, so that clients try again later.
STATUS_CODES = {"bad_input": 422} | dict.fromkeys(
    (
        "bad_answer",
        "cut",
        "refused",
        "not_structured",
        "content_filter",
        "tool_calls",
        "no_finish_reason",
        "other_finish_reason",
    ),
    502,
)


@asynccontextmanager
async def service_of(app: FastAPI) -> AsyncIterator[None]:
    """Start the service together with the application, not on import, so that each worker process has its own."""
    app.state.vlm = ErnieVLMService(CONFIG)
    yield
    await asyncio.to_thread(app.state.vlm.close)


app = FastAPI(lifespan=service_of)


@app.post("/invoices")
@app.post("/documents")
async def analyse(request: Request) -> Response:
    """Analyse a document: {"ocr": any JSON value, "image": base64 of a JPEG, PNG or WebP}, one of them or both."""
    try:
        # request.json() would read 3025.00 as 3025.0, which differs from the training examples.
        value = jsontext.parse(await limited_body(request))
        image = base64.b64decode(value["image"], validate=True) if value.get("image") else None
        ocr = value.get("ocr")
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        return json_response({"detail": f"cannot be read: {error}"}, 400)
    result = await app.state.vlm.parse_async(ocr, image)
    code = STATUS_CODES.get(str(result.reason), 503) if result.status == "failed" else 200
    return Response(result.as_json(), code, media_type="application/json")


@app.post("/bundles/{name}")
async def use(name: str) -> Response:
    """Switch to another bundle in the folder of bundles; a bad one keeps the old one in use."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        return json_response({"detail": "invalid name of a bundle"}, 400)
    try:
        target = await app.state.vlm.use_async(BUNDLES / name)
    except AdapterError as error:
        return json_response({"detail": str(error)}, 409)
    return json_response({"model": target.model, "bundle": target.bundle})


@app.get("/health")
async def health() -> Response:
    """Return the target of the next document."""
    target = app.state.vlm.target
    return json_response({"model": target.model, "bundle": target.bundle, "document_type": target.documents.name})


async def limited_body(request: Request) -> bytes:
    """Read the body of a request.

    Raises:
        ValueError: it is too long.
    """
    content = b""
    async for piece in request.stream():
        content += piece
        if len(content) > MAX_BODY_BYTES:
            raise ValueError(f"more than {MAX_BODY_BYTES:,} bytes")
    return content


def json_response(value: dict[str, Any], status_code: int = 200) -> Response:
    """Return a JSON response."""
    return Response(jsontext.compose(value), status_code, media_type="application/json")
