"""A small bundle, a good answer, and servers with prepared replies, for the tests of the service."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from erniekit_adapter.bundle.document_types import write_document_type
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import INVOICE
from erniekit_adapter.files import sha256, write_json, write_text
from erniekit_adapter.service import ErnieVLMService
from erniekit_adapter.tensor_files import write_tensors

URL = "http://model.example/v1"
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 20
ANSWER = (
    '{"structured_data":{"line_items":[{"description":"Desk","quantity":2,"unit_price":50.00,"total":100.00}],'
    '"financial_summary":{"subtotal":100.00,"taxes":[{"type":"VAT","rate":0.19,"amount":19.00}],'
    '"grand_total":119.00,"currency":"EUR"}},'
    '"validation_summary":{"is_valid":true,"math_verified":true,"issues":[]}}'
)
Handler = Callable[[httpx.Request], httpx.Response]


def write_bundle(
    folder: Path, *, value: float = 1.0, run_name: str = "demo", documents: DocumentType = INVOICE, **more: Any
) -> Path:
    """Write a bundle with native and peft formats as export does; another `value` gives another bundle."""
    base = {"name": "./base", **more.pop("base_model", {})}
    shared = {"r": 3, "lora_alpha": 6, "lora_dropout": 0.0, "base_model_name_or_path": base["name"]}
    a, b = np.full((3, 4), value, np.float32), np.full((5, 3), value, np.float32)
    layer, file = "layers.0.self_attn.o_proj", "peft_model-00001-of-00001.safetensors"
    native = {f"ernie.{layer}.lora_A": a.T, f"ernie.{layer}.lora_B": b.T}
    write_tensors(folder / "native" / file, native)
    write_json(folder / "native/peft_model.safetensors.index.json", {"weight_map": dict.fromkeys(native, file)})
    write_json(folder / "native/lora_config.json", {**shared, "rslora": False, "target_modules": [".*o_proj.*"]})
    stem = f"base_model.model.model.{layer}"
    write_tensors(folder / "peft/adapter_model.safetensors", {f"{stem}.lora_A.weight": a, f"{stem}.lora_B.weight": b})
    of_peft = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "inference_mode": True, "use_rslora": False}
    write_json(folder / "peft/adapter_config.json", {**shared, **of_peft, "bias": "none", "target_modules": ["o_proj"]})
    write_text(folder / "README.md", "---\nlibrary_name: peft\n---\nA model card.\n")
    write_document_type(documents, folder)
    write_manifest(folder, **{"run_name": run_name, "base_model": base, "document_type": documents.record, **more})
    return folder


def write_manifest(folder: Path, **more: Any) -> None:
    """Write the manifest of all files in a folder."""
    files = {
        path.relative_to(folder).as_posix(): {"size_bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("manifest.json", "manifest.sig")
    }
    forms = sorted({name.partition("/")[0] for name in files if "/" in name} - {"document_type"})
    manifest = {"schema_version": 1, "files": files, "forms": forms, "lora": {"rank": 3}, **more}
    write_json(folder / "manifest.json", manifest)


def completion(text: str | None, finish: str | None = "stop", **message: Any) -> httpx.Response:
    """Return a reply of an OpenAI-compatible server."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    return httpx.Response(200, json={"choices": [choice], "usage": {"prompt_tokens": 300, "completion_tokens": 90}})


def in_turn(*replies: httpx.Response | Exception) -> Handler:
    """Return a server that gives one reply after the other, and then the last one forever."""
    left = list(replies)

    def handler(_: httpx.Request) -> httpx.Response:
        reply = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(reply, Exception):
            raise reply
        return httpx.Response(reply.status_code, headers=reply.headers, content=reply.content)

    return handler


def service(handler: Any, **settings: Any) -> ErnieVLMService:
    """Return a service whose server is `handler`, with very short waits."""
    given = {"vllm_server_url": URL, "model_name": "base", "first_wait": 0.001, "timeout": 5, **settings}
    if "public_key" not in settings:
        given = {"trust": "unsigned", **given}
    return ErnieVLMService({"ernie_vl": given}, httpx.MockTransport(handler))


def body(request: httpx.Request) -> dict[str, Any]:
    """Return the JSON body of a request."""
    return dict(json.loads(request.content))
