"""The service that an application imports: settings, a verified bundle, and `ErnieVLMService`."""

from erniekit_adapter.service.ernie_vlm import ErnieVLMService
from erniekit_adapter.service.result import ParseResult
from erniekit_adapter.service.settings import ServiceSettings

__all__ = ["ErnieVLMService", "ParseResult", "ServiceSettings"]
