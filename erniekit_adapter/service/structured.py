"""Structured generation: which servers take the JSON Schema of an answer."""

from __future__ import annotations

import re
from typing import Any

from erniekit_adapter.documents.reasoning import cut_off
from erniekit_adapter.service.calling import Connections, complete
from erniekit_adapter.service.chat_reply import CallError, ChatReply
from erniekit_adapter.service.result import Structured
from erniekit_adapter.service.settings import ServiceSettings
from erniekit_adapter.service.target import Target, logger

# Status codes with which servers refuse a field or a schema; 501 is a feature that a server does not have.
_REFUSALS = frozenset({400, 422, 501})
# Words in such a refusal: vLLM "JSON schema", FastDeploy "guided_backend", SGLang "grammar", DeepSeek and others
# "response_format".
_ABOUT_THE_SCHEMA = re.compile(r"response.?format|schema|grammar|guided|structured|constrain", re.IGNORECASE)


class StructuredGeneration:
    """Requests with the schema of the answer, to targets that take it; used only by the service's own event loop.

    Args:
        settings: `structured`, and `enable_thinking` for the chat template.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._mode = settings.structured
        self._thinking = settings.chat_template_kwargs.get("enable_thinking")
        self._refused: set[tuple[str, str, str]] = set()
        self._ignored: set[tuple[str, str, str]] = set()

    async def complete(
        self, connections: Connections, target: Target, body: dict[str, Any]
    ) -> tuple[ChatReply, Structured]:
        """Request an answer with its schema; once without it if the server refuses it.

        Returns:
            The reply, and `used`, `refused` or `off`.

        Raises:
            CallError: the reply cannot be used, did not arrive, or needs a schema that the server refuses.
        """
        if self._mode == "off":
            return await complete(connections, target, body), "off"
        if _key(target) in self._refused:
            return await complete(connections, target, body), "refused"
        try:
            reply = await complete(connections, target, {**body, "response_format": target.response_format})
            if not self._lost_reasoning(target, reply):
                return reply, "used"
            cause = "the model does not reason with it; start the server with its reasoning parser"
        except CallError as failed:
            if failed.status_code not in _REFUSALS or not _ABOUT_THE_SCHEMA.search(failed.detail):
                raise
            cause = f"the server refuses it with status {failed.status_code}"
            detail = failed.detail
        if self._mode == "require":
            # Outside of the block above, so that no error refers to the first one.
            raise CallError("refused", f"the server refuses the schema that structured: require needs: {detail}")
        reply = await complete(connections, target, body)
        # If this request had failed too, the schema would not be the cause.
        self._remember_refusal(target, cause)
        return reply, "refused"

    def _lost_reasoning(self, target: Target, reply: ChatReply) -> bool:
        """Return whether a schema kept a model from reasoning that was asked to.

        Servers that do not separate reasoning apply the schema from the first token on.
        """
        names = f"{target.model} {target.base_model}".lower()
        expected = self._thinking is True or (self._thinking is None and "thinking" in names)
        has_reasoning = bool(reply.reasoning or cut_off(reply.text)[1])
        return expected and self._mode == "auto" and reply.stopped is None and not has_reasoning

    def _remember_refusal(self, target: Target, cause: str) -> None:
        """Send a target no schema from now on, and log it once."""
        if _key(target) not in self._refused:
            self._refused.add(_key(target))
            logger.warning("%s gets no schema from now on: %s", target.model, cause)

    def log_ignored(self, target: Target) -> None:
        """Log once that a target did not keep to the schema."""
        if _key(target) not in self._ignored:
            self._ignored.add(_key(target))
            logger.warning("%s got the schema of the answer, but does not keep to it", target.model)


def _key(target: Target) -> tuple[str, str, str]:
    return target.url, target.model, f"{target.documents.name} {target.documents.digest}"
