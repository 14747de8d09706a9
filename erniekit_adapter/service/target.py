"""The model that requests are sent to, on a server or in a local worker, from the settings and a verified bundle."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from erniekit_adapter.bundle.counters import remember
from erniekit_adapter.documents.document_type import DocumentType
from erniekit_adapter.documents.loading import INVOICE, load_document_type
from erniekit_adapter.documents.response_format import response_format
from erniekit_adapter.errors import AdapterError, failure, usage_error
from erniekit_adapter.predictors.local import LocalModel, command_line
from erniekit_adapter.service.addresses import checked_url
from erniekit_adapter.service.settings import ServiceSettings

if TYPE_CHECKING:
    from erniekit_adapter.bundle.verify import Verified

logger = logging.getLogger("erniekit_adapter.service")


@dataclass(frozen=True)
class SeenCounter:
    """The counter of a signed bundle.

    Attributes:
        file: file that keeps the counters.
        key: the fingerprint of the public key.
        value: the counter.
    """

    file: Path
    key: str
    value: int


@dataclass(frozen=True)
class Target:
    """A model on a server, or one that a local worker loads.

    Attributes:
        url: the server, including `/v1`; empty for a local worker.
        model: the name of the model in requests.
        api_key: sent as a bearer token; None to send none.
        bundle: the SHA-256 of the bundle's manifest; None for a model without a bundle.
        lora_path: the adapter's folder on the server, if the service loads it there; otherwise None.
        local: settings of a local worker; None for a server.
        counter: counter to keep once the bundle is in use, so that older ones are refused; None without a signature.
        documents: the type of the documents, for requests, answers and rules.
        base_model: the base model's name in the bundle; empty if it is unknown.
    """

    url: str
    model: str
    api_key: SecretStr | None = None
    bundle: str | None = None
    lora_path: str | None = None
    local: LocalModel | None = None
    counter: SeenCounter | None = None
    documents: DocumentType = field(default=INVOICE, compare=False, repr=False)
    base_model: str = field(default="", compare=False)

    @cached_property
    def response_format(self) -> dict[str, Any]:
        """The schema of the answers, as OpenAI's API takes it."""
        return response_format(self.documents)

    def remember(self) -> None:
        """Keep the bundle's counter, when the bundle is in use.

        Raises:
            UsageError: the file of counters cannot be read or written.
        """
        if self.counter:
            remember(self.counter.file, self.counter.key, self.counter.value)


def first_target(settings: ServiceSettings) -> Target:
    """Return the target that a service starts with; a configured bundle is verified first.

    Raises:
        AdapterError: the bundle is bad and no fallback is configured.
        UsageError: the public key cannot be read, the model or environment of `local` is missing, or the document
            type is wrong.
    """
    if local := _local_model(settings, None):
        if not (local.model_dir / "config.json").is_file():
            location, finding = "ernie_vl.base_model_dir", f"{local.model_dir} has no config.json"
            raise usage_error(location, finding, "set it to the base model's folder")
        command_line(local)  # raises an error if the environment is not installed
    documents = _documents(settings)  # a wrong type is an error, even if the bundle has its own
    if settings.fine_tuned_model_path is None:
        if local:
            name = settings.model_name or local.model_dir.name
            return Target("", name, local=local, documents=documents or INVOICE)
        return Target(settings.vllm_server_url, settings.model_name, settings.api_key, documents=documents or INVOICE)
    try:
        target = target_of_bundle(settings, settings.fine_tuned_model_path)
        target.remember()
        return target
    except AdapterError as error:
        if settings.when_bundle_is_bad == "error" or error.exit_code == 2:
            raise
        if not settings.fallback_url or not settings.fallback_model_name:  # for the type checker: both are set
            raise
        named = settings.fallback_model_name
        logger.error("bad bundle, using the fallback model %s: %s", named, error)
        return Target(settings.fallback_url, named, settings.fallback_api_key, documents=documents or INVOICE)


def target_of_bundle(
    settings: ServiceSettings, bundle: Path, *, url: str | None = None, model: str | None = None
) -> Target:
    """Verify a bundle and return its target.

    Args:
        settings: how bundles are verified and served.
        bundle: the bundle's folder.
        url: the server that holds it, if not `vllm_server_url`.
        model: its name on the server, if not the one in the settings.

    Raises:
        AdapterError: the bundle is bad, or lacks the bundle format to load.
        UsageError: bundles must be signed and no public key is set, or the key cannot be read.
    """
    from erniekit_adapter.bundle.verify import verify  # needs numpy, which is slow to import

    if settings.trust == "signed" and not settings.public_key:
        finding = "missing, but bundles must be signed"
        hint = (
            "set it to the signer's PEM file, or accept unsigned bundles with trust: unsigned (or ERNIE_TRUST=unsigned)"
        )
        raise usage_error("ernie_vl.public_key", finding, hint)
    counters = _counter_file(settings)
    verified = verify(
        bundle,
        settings.public_key,
        settings.base_model_dir,
        trust=settings.trust,
        counter_file=counters,
        python_rules=settings.python_rules,
    )
    documents = _documents(settings) or verified.document_type
    if documents.record != verified.document_type.record:
        logger.warning("document_type is %s, but the bundle is for %s", documents.name, verified.document_type.name)
    seen = SeenCounter(counters, verified.key, verified.manifest["counter"]) if counters else None
    bundle_format = "native" if settings.local == "erniekit" else settings.adapter_form
    if local := _local_model(settings, verified.path / bundle_format):
        if not any(name.startswith(f"{bundle_format}/") for name in verified.manifest["files"]):
            finding = f"is not in the bundle, but local: {settings.local} needs it"
            raise failure(
                verified.path / bundle_format, finding, f"export the bundle with export.formats: [{bundle_format}]"
            )
        name = settings.model_name or _name_of(verified)
        return Target("", name, bundle=verified.identity, local=local, counter=seen, documents=documents)
    names = {"no": settings.model_name, "named": settings.adapter_name, "load": settings.adapter_name}
    return Target(
        url or settings.vllm_server_url,
        model or names[settings.lora] or _name_of(verified),
        settings.api_key,
        verified.identity,
        _lora_path(settings, verified) if settings.lora == "load" else None,
        counter=seen,
        documents=documents,
        base_model=str(verified.manifest["base_model"]["name"]),
    )


def _documents(settings: ServiceSettings) -> DocumentType | None:
    """Return the document type of the settings; None if they leave it to the bundle."""
    return load_document_type(settings.document_type, settings.python_rules) if settings.document_type else None


def _counter_file(settings: ServiceSettings) -> Path | None:
    key = settings.public_key
    return settings.counter_file or (key.with_name(f"{key.name}.counter") if key else None)


def swapped_target(settings: ServiceSettings, bundle: Path, url: str | None, model: str | None) -> Target:
    """Return the target of a bundle that replaces another one while the service runs.

    Raises:
        AdapterError: see `target_of_bundle`.
        UsageError: the server cannot load it, and neither `url` nor `model` is given; or one of them is given but
            `local` is set; or `url` is invalid.
    """
    if settings.local != "no":
        if url or model:
            finding = f"local is {settings.local}: no server is used, so url and model have no effect"
            raise usage_error(bundle, finding, "remove url and model")
        return target_of_bundle(settings, bundle)
    if url:
        url = _checked(url)
    if settings.lora != "load":
        if not (url or model):
            finding = f"lora is {settings.lora}: the service cannot load another bundle into the server"
            raise usage_error(bundle, finding, "start a server with it, and give url or model")
        return target_of_bundle(settings, bundle, url=url, model=model)
    # A fixed name is already used on the server; a name with the bundle's hash is free.
    unnamed = settings.model_copy(update={"adapter_name": None})
    return target_of_bundle(unnamed, bundle, url=url, model=model)


def _checked(url: str) -> str:
    try:
        return checked_url(url)
    except ValueError as error:
        raise usage_error("url", str(error)) from None


def _local_model(settings: ServiceSettings, adapter: Path | None) -> LocalModel | None:
    base = settings.base_model_dir
    if settings.local == "no" or not base:  # for the type checker: both are set, or none
        return None
    if settings.local == "erniekit" or not adapter:
        return LocalModel(settings.local, base.resolve(), adapter)
    from erniekit_adapter.architectures.families import DEFAULT_KIND, kind_of_config
    from erniekit_adapter.files import read_json
    from erniekit_adapter.parity.readers import majors_that_read

    kind = kind_of_config(read_json(base / "config.json")) or DEFAULT_KIND
    return LocalModel(settings.local, base.resolve(), adapter, majors_that_read(settings.adapter_form, kind))


def _name_of(verified: Verified) -> str:
    run_name = re.sub(r"[^A-Za-z0-9._-]+", "-", str(verified.manifest.get("run_name", "adapter")))
    return f"{run_name}-{verified.identity[:12]}"


def _lora_path(settings: ServiceSettings, verified: Verified) -> str:
    name = f"{settings.adapter_form}/adapter_config.json"
    if name not in verified.manifest["files"]:
        hint = f"export the bundle with export.formats: [{settings.adapter_form}]"
        raise failure(verified.path / name, "is not in the bundle, but the server has to load it", hint)
    root = (settings.server_bundle_path or str(verified.path)).replace("{identity}", verified.identity)
    return f"{root.rstrip('/')}/{settings.adapter_form}"
