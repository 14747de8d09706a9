"""Which model is asked, on a server or in a process of our own, worked out from the settings and a verified bundle."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from erniekit_adapter.adapters.counters import remember
from erniekit_adapter.answering.local import LocalModel, command_line
from erniekit_adapter.errors import AdapterError, fail, misuse
from erniekit_adapter.service.addresses import checked_url
from erniekit_adapter.service.settings import ServiceSettings

if TYPE_CHECKING:
    from erniekit_adapter.adapters.verify import Verified

logger = logging.getLogger("erniekit_adapter.service")


@dataclass(frozen=True)
class SeenCounter:
    """A signed bundle's counter, and where it is kept.

    Attributes:
        file: the file of counters.
        key: the fingerprint of the public key.
        value: the counter.
    """

    file: Path
    key: str
    value: int


@dataclass(frozen=True)
class Target:
    """A model on a server, or one that a worker of the service's own loads.

    Attributes:
        url: the server, up to `/v1`; empty where a worker answers.
        model: the name under which the model is asked.
        api_key: sent as a bearer token; None for none.
        bundle: the SHA-256 of the bundle's manifest; None for a model without a bundle.
        lora_path: the adapter's folder as the server sees it, where the service has it loaded; None elsewhere.
        local: what a worker loads; None where a server answers.
        counter: what to keep once the bundle is in use, so that no older one follows; None without a signature.
    """

    url: str
    model: str
    api_key: SecretStr | None = None
    bundle: str | None = None
    lora_path: str | None = None
    local: LocalModel | None = None
    counter: SeenCounter | None = None

    def remember(self) -> None:
        """Keep the bundle's counter; to be called when the bundle is in use.

        Raises:
            UsageError: the file of counters cannot be read or written.
        """
        if self.counter:
            remember(self.counter.file, self.counter.key, self.counter.value)


def first_target(settings: ServiceSettings) -> Target:
    """The target that a service starts with; a bundle that is set is verified first.

    Raises:
        AdapterError: the bundle is bad and no fallback is configured.
        UsageError: the public key cannot be read, or what `local` needs is not there.
    """
    if local := _local_model(settings, None):
        if not (local.model_dir / "config.json").is_file():
            where, what = "ernie_vl.base_model_dir", f"{local.model_dir} holds no model: it has no config.json"
            raise misuse(where, what, "give the base model's folder")
        command_line(local)  # for its refusal, where the environment is not installed
    if settings.fine_tuned_model_path is None:
        if local:
            return Target("", settings.model_name or local.model_dir.name, local=local)
        return Target(settings.vllm_server_url, settings.model_name, settings.api_key)
    try:
        target = target_of_bundle(settings, settings.fine_tuned_model_path)
        target.remember()
        return target
    except AdapterError as error:
        if settings.when_bundle_is_bad == "error" or error.exit_code == 2:
            raise
        if not settings.fallback_url or not settings.fallback_model_name:  # for the type checker: settings hold both
            raise
        named = settings.fallback_model_name
        logger.error("bad bundle, the fallback model %s is used instead: %s", named, error)
        return Target(settings.fallback_url, named, settings.fallback_api_key)


def target_of_bundle(
    settings: ServiceSettings, bundle: Path, *, url: str | None = None, model: str | None = None
) -> Target:
    """Verify a bundle and say how it is asked.

    Args:
        settings: how bundles are verified and served.
        bundle: the bundle's folder.
        url: the server that holds it, if not `vllm_server_url`.
        model: its name there, if not the one that the settings give.

    Raises:
        AdapterError: the bundle is bad, or lacks the form that the server is to load.
        UsageError: bundles have to be signed and no public key is set, or the key cannot be read.
    """
    from erniekit_adapter.adapters.verify import verify  # needs numpy, which is slow to import

    if settings.trust == "signed" and not settings.public_key:
        what = "missing, and bundles have to be signed"
        hint = (
            "set it to the signer's PEM file, or accept unsigned bundles with trust: unsigned (or ERNIE_TRUST=unsigned)"
        )
        raise misuse("ernie_vl.public_key", what, hint)
    counters = _counter_file(settings)
    verified = verify(bundle, settings.public_key, settings.base_model_dir, trust=settings.trust, counter_file=counters)
    seen = SeenCounter(counters, verified.key, verified.manifest["counter"]) if counters else None
    form = "native" if settings.local == "erniekit" else settings.adapter_form
    if local := _local_model(settings, verified.path / form):
        if not any(name.startswith(f"{form}/") for name in verified.manifest["files"]):
            what = f"is not in the bundle, and local: {settings.local} answers with it"
            raise fail(verified.path / form, what, "export that form")
        return Target(
            "", settings.model_name or _name_of(verified), bundle=verified.identity, local=local, counter=seen
        )
    names = {"no": settings.model_name, "named": settings.adapter_name, "load": settings.adapter_name}
    return Target(
        url or settings.vllm_server_url,
        model or names[settings.lora] or _name_of(verified),
        settings.api_key,
        verified.identity,
        _lora_path(settings, verified) if settings.lora == "load" else None,
        counter=seen,
    )


def _counter_file(settings: ServiceSettings) -> Path | None:
    key = settings.public_key
    return settings.counter_file or (key.with_name(f"{key.name}.counter") if key else None)


def swapped_target(settings: ServiceSettings, bundle: Path, url: str | None, model: str | None) -> Target:
    """The target of a bundle that shall replace another one while the service runs.

    Raises:
        AdapterError: as `target_of_bundle` does.
        UsageError: the server cannot load it, and nobody said where it is served; or there is no server, and somebody
            did; or `url` is not a server's URL.
    """
    if settings.local != "no":
        if url or model:
            what = f"local is {settings.local}: no server is asked, and url and model say where one holds the bundle"
            raise misuse(bundle, what, "leave them out")
        return target_of_bundle(settings, bundle)
    if url:
        url = _checked(url)
    if settings.lora != "load":
        if not (url or model):
            what = f"lora is {settings.lora}: the service cannot make the server hold another bundle"
            raise misuse(bundle, what, "start a server with it, and give its url or the model's name there")
        return target_of_bundle(settings, bundle, url=url, model=model)
    # A fixed name would be taken on the server; one with the bundle's hash is free.
    anew = settings.model_copy(update={"adapter_name": None})
    return target_of_bundle(anew, bundle, url=url, model=model)


def _checked(url: str) -> str:
    try:
        return checked_url(url)
    except ValueError as error:
        raise misuse("url", str(error)) from None


def _local_model(settings: ServiceSettings, adapter: Path | None) -> LocalModel | None:
    base = settings.base_model_dir
    if settings.local == "no" or not base:  # for the type checker: settings hold both or none
        return None
    if settings.local == "erniekit" or not adapter:
        return LocalModel(settings.local, base.resolve(), adapter)
    from erniekit_adapter.adapters.readers import majors_that_read
    from erniekit_adapter.files import read_json
    from erniekit_adapter.project.catalogue import kind_of_config

    kind = kind_of_config(read_json(base / "config.json")) or "dense"
    return LocalModel(settings.local, base.resolve(), adapter, majors_that_read(settings.adapter_form, kind))


def _name_of(verified: Verified) -> str:
    run_name = re.sub(r"[^A-Za-z0-9._-]+", "-", str(verified.manifest.get("run_name", "adapter")))
    return f"{run_name}-{verified.identity[:12]}"


def _lora_path(settings: ServiceSettings, verified: Verified) -> str:
    wanted = f"{settings.adapter_form}/adapter_config.json"
    if wanted not in verified.manifest["files"]:
        raise fail(verified.path / wanted, "is not in the bundle, and the server shall load it", "export that form")
    root = (settings.server_bundle_path or str(verified.path)).replace("{identity}", verified.identity)
    return f"{root.rstrip('/')}/{settings.adapter_form}"
