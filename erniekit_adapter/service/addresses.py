"""URLs of servers: validation, and whether the server is on this machine."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

import httpx

_EXAMPLE = "expected a URL like http://127.0.0.1:8000/v1"
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)
_MAX_HOST = 253


def checked_url(url: str) -> str:
    """Return the URL of a server without a trailing slash.

    Raises:
        ValueError: it is not a URL, holds a user, password, query or fragment, or its host or port is invalid. The
            message contains no part of the URL, because any part may be a secret.
    """
    if any(character.isspace() or not character.isprintable() or character == "\\" for character in url):
        raise ValueError(f"a URL must not contain blanks, line breaks or backslashes: {_EXAMPLE}")
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        finding = (
            "the port must be a number from 1 to 65535"
            if "ort" in str(error)
            else "the address in brackets is not an IPv6 address"
        )
        raise ValueError(f"{finding}: {_EXAMPLE}") from None
    if "@" in parts.netloc:
        raise ValueError("holds a user or password; set secrets in the environment, as ERNIE_API_KEY")
    if parts.scheme not in ("http", "https") or not host or "?" in url or "#" in url:
        raise ValueError(_EXAMPLE)
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError(f"the port must be a number from 1 to 65535: {_EXAMPLE}")
    try:
        encoded = httpx.URL(url).raw_host.decode("ascii")
    except (httpx.InvalidURL, UnicodeError):
        raise ValueError(f"invalid host name: {_EXAMPLE}") from None
    if not _is_valid_host(host if ":" in host else encoded):
        raise ValueError(f"invalid host name or address: {_EXAMPLE}")
    return url.rstrip("/")


def is_loopback(url: str) -> bool:
    """Return whether a server is on this machine, by its address or as localhost."""
    host = (urlsplit(url).hostname or "").rstrip(".").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or bool(mapped and mapped.is_loopback) or address.is_unspecified


def _is_valid_host(host: str) -> bool:
    name = host.removesuffix(".")
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        labels = name.split(".")
        return len(name) <= _MAX_HOST and all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdecimal()
    return True
