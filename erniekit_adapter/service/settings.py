"""Settings of the service: `config["ernie_vl"]`, overridden by the environment; secrets only from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from erniekit_adapter.errors import Problem, UsageError
from erniekit_adapter.service.addresses import checked_url
from erniekit_adapter.service.secrecy import checked_key

_FROM_ENVIRONMENT = {
    "fine_tuned_model_path": "ERNIE_FINETUNED_PATH",
    "vllm_server_url": "ERNIE_VLLM_URL",
    "model_name": "ERNIE_MODEL_NAME",
    "trust": "ERNIE_TRUST",
    "public_key": "ERNIE_PUBLIC_KEY",
    "counter_file": "ERNIE_COUNTER_FILE",
    "timeout": "ERNIE_TIMEOUT",
    "document_type": "ERNIE_DOCUMENT_TYPE",
}
_SECRETS = {"api_key": "ERNIE_API_KEY", "fallback_api_key": "ERNIE_FALLBACK_API_KEY"}


class ServiceSettings(BaseModel):
    """Settings of the service. The environment overrides `config["ernie_vl"]`, which overrides the defaults.

    Attributes:
        local: no, to use a server; transformers or erniekit, to answer in a worker process of that environment, on the
            CPU, with `base_model_dir` and the bundle's `adapter_form` or `native`.
        vllm_server_url: an OpenAI-compatible server, including `/v1`.
        model_name: the model's name on that server; for a bundle of merged weights, the name they are served as. With
            `local` it is the name in results, and may be left out.
        fine_tuned_model_path: a bundle, verified before use; None to use the base model.
        lora: no, the server holds merged weights; named, it was started with the adapter `adapter_name`; load, the
            service loads the bundle's `peft` with `/v1/load_lora_adapter`.
        adapter_name: the adapter's name on the server; None with `load` for the run's name and the bundle's hash.
        adapter_form: the bundle format for the server with `load`, and for transformers with `local`.
        server_bundle_path: path of the bundle on the server, if different; `{identity}` in it is the bundle's hash.
        trust: signed, every bundle needs a signature of `public_key`; unsigned, bundles without one are accepted.
        public_key: PEM file of the key that signs bundles; required for bundles, unless `trust` is unsigned.
        counter_file: file with the highest counter of a used bundle, so that older ones are refused; None for the name
            of the public key with the suffix `.counter`.
        base_model_dir: the base model's folder, if available: the bundle must be made for it. Required with `local`.
        when_bundle_is_bad: error, or fallback: use `fallback_url` and `fallback_model_name`, and log an error.
        fallback_url: server to use instead of a bad bundle.
        fallback_model_name: the model's name on that server.
        document_type: the documents' type: the name of a shipped one, or a folder with a / in it; None for the bundle's
            own, or invoices without a bundle.
        python_rules: entry points whose rules a document type may use.
        structured: auto, send the answer's JSON Schema to servers that take it; off; or require, fail without it.
        timeout: maximum seconds for one document, including waiting and all attempts.
        max_attempts: maximum number of attempts.
        first_wait: seconds before the second attempt; doubled for each further one, minus a random part.
        max_wait: maximum seconds of a wait; the attempts end if a server asks for a longer one.
        max_concurrency: maximum number of running requests; the others wait.
        max_tokens: maximum number of tokens of an answer.
        temperature: 0 always takes the most likely token.
        chat_template_kwargs: values for the server's chat template, such as `{"enable_thinking": False}`.
        require_finish_reason: whether an answer without a `finish_reason` counts as incomplete.
        proxy: no, or environment: servers on other machines are reached through HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and
            NO_PROXY; a server on this machine never is.
        max_image_bytes: maximum size of an image.
        max_ocr_characters: maximum length of OCR data as JSON.
        max_raw_text: characters of the model's text that a result keeps.
        api_key: set with ERNIE_API_KEY only.
        fallback_api_key: set with ERNIE_FALLBACK_API_KEY only.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, protected_namespaces=())

    local: Literal["no", "transformers", "erniekit"] = "no"
    vllm_server_url: str = Field("", validate_default=True)
    model_name: str = Field("", validate_default=True)
    fine_tuned_model_path: Path | None = None
    lora: Literal["no", "named", "load"] = "no"
    adapter_name: str | None = Field(None, min_length=1)
    adapter_form: Literal["peft", "peft-v5"] = "peft"
    server_bundle_path: str | None = None
    trust: Literal["signed", "unsigned"] = "signed"
    public_key: Path | None = None
    counter_file: Path | None = None
    base_model_dir: Path | None = None
    when_bundle_is_bad: Literal["error", "fallback"] = "error"
    fallback_url: str | None = None
    fallback_model_name: str | None = Field(None, min_length=1)
    document_type: str | None = Field(None, min_length=1)
    python_rules: tuple[str, ...] = ()
    structured: Literal["auto", "off", "require"] = "auto"
    timeout: float = Field(120, gt=0, le=3600)
    max_attempts: int = Field(5, ge=1, le=20)
    first_wait: float = Field(0.5, gt=0, le=60)
    max_wait: float = Field(20, gt=0, le=600)
    max_concurrency: int = Field(16, ge=1, le=1024)
    max_tokens: int = Field(1024, ge=1, le=32768)
    temperature: float = Field(0, ge=0, le=2)
    chat_template_kwargs: dict[str, JsonValue] = Field(default_factory=dict)
    require_finish_reason: bool = True
    proxy: Literal["no", "environment"] = "no"
    max_image_bytes: int = Field(10 * 1024 * 1024, ge=1)
    max_ocr_characters: int = Field(400_000, ge=1)
    max_raw_text: int = Field(20_000, ge=0)
    api_key: SecretStr | None = None
    fallback_api_key: SecretStr | None = None

    @field_validator("vllm_server_url", "model_name")
    @classmethod
    def _is_given(cls, value: str, others: ValidationInfo) -> str:
        if not value and others.data.get("local") == "no":
            raise ValueError("required, unless local is set")
        return value

    @field_validator("vllm_server_url", "fallback_url")
    @classmethod
    def _is_url(cls, url: str | None) -> str | None:
        return checked_url(url) if url else url

    @field_validator("api_key", "fallback_api_key")
    @classmethod
    def _is_key(cls, key: SecretStr | None) -> SecretStr | None:
        return checked_key(key) if key else key

    @model_validator(mode="after")
    def _check_combinations(self) -> ServiceSettings:
        if self.when_bundle_is_bad == "fallback" and not (self.fallback_url and self.fallback_model_name):
            raise ValueError("when_bundle_is_bad: fallback needs fallback_url and fallback_model_name")
        if self.lora == "named" and not self.adapter_name:
            raise ValueError("lora: named needs adapter_name, the adapter's name on the server")
        if self.lora != "no" and not self.fine_tuned_model_path:
            raise ValueError(f"lora: {self.lora} needs fine_tuned_model_path")
        if self.trust == "unsigned" and (self.public_key or self.counter_file):
            raise ValueError("trust: unsigned checks no signature: remove public_key and counter_file, or trust")
        if self.counter_file and not self.public_key:
            raise ValueError("counter_file needs public_key")
        if self.local != "no":
            self._check_local()
        return self

    def _check_local(self) -> None:
        if not self.base_model_dir:
            raise ValueError(f"local: {self.local} needs base_model_dir, the base model's folder")
        server_keys = ["vllm_server_url", "adapter_name", "server_bundle_path", "chat_template_kwargs"]
        server_keys += ["adapter_form"] if self.local == "erniekit" else []
        wrong = [f"lora: {self.lora}"] if self.lora != "no" else []
        wrong += [key for key in server_keys if key in self.model_fields_set and getattr(self, key)]
        if wrong:
            raise ValueError(f"local: {self.local} uses no server: remove {', '.join(wrong)}")
        if self.temperature:
            raise ValueError(f"local: {self.local} always takes the most likely token: remove temperature")

    @classmethod
    def read(cls, config: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> ServiceSettings:
        """Read the settings from an application's configuration and the environment.

        Args:
            config: the application's configuration; only its `ernie_vl` is read.
            environment: variables; None for those of the process. White space around values is removed, and empty
                variables count as not set.

        Raises:
            UsageError: unknown keys, invalid values, or secrets in `config`; all problems at once.
        """
        given = config.get("ernie_vl", {})
        if not isinstance(given, Mapping):
            raise UsageError(Problem("ernie_vl", "expected keys and values"))
        values, variables = dict(given), os.environ if environment is None else environment
        problems = [
            Problem(f"ernie_vl.{key}", "secrets must not be in the configuration", f"set {variable} instead")
            for key, variable in _SECRETS.items()
            if values.pop(key, None) is not None
        ]
        named = _FROM_ENVIRONMENT | _SECRETS
        values |= {key: found for key, name in named.items() if (found := variables.get(name, "").strip())}
        settings = None
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            places = {key: f"ernie_vl.{key} or {variable}" for key, variable in _FROM_ENVIRONMENT.items()} | _SECRETS
            for item in error.errors(include_input=False, include_url=False, include_context=False):
                key = ".".join(map(str, item["loc"]))
                problems.append(Problem(places.get(key, f"ernie_vl.{key}".rstrip(".")), item["msg"]))
        # Outside the block above: an error raised there would refer to pydantic's error, which holds the values.
        if problems or settings is None:
            raise UsageError(problems)
        return settings
