"""API keys that never leave the service: checked when they are read, and searched in everything that a server sends."""

from __future__ import annotations

import base64
import html
import json
import logging
import os
import re
import threading
import weakref
from collections.abc import Iterable, Iterator
from urllib.parse import quote, unquote

from pydantic import SecretStr

# Shorter keys, such as EMPTY, are searched as whole words, and in answers only after `Bearer`, because an invoice may
# contain them by chance. Keys shorter than _SHORTEST, such as x or 1, are in most texts and are not searched.
_LONG = 8
_SHORTEST = 4
_VISIBLE = re.compile(r"[!-~]+")
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
# int() refuses more than 4,300 digits; the numbers of characters have at most seven.
_ZEROS, _NO_CHARACTER = re.compile(r"&#0+(?=\d)"), re.compile(r"&#\d{8,};?")
_NO_TEXT = re.compile(r"[\s\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2060\ufeff\ufffd]+")
_LOGGERS = ("httpx", "httpcore", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")))
_LOGGERS += ("erniekit_adapter.service",)

HIDDEN = "(hidden: the text contained the service's key)"


def checked_key(key: SecretStr) -> SecretStr:
    """Return a key without the white space around it, such as a line break at the end of a file.

    Raises:
        ValueError: it is empty or cannot be sent in a header; the message does not contain it.
    """
    text = key.get_secret_value().strip()
    if not text:
        raise ValueError("the key is empty")
    if not _VISIBLE.fullmatch(text):
        raise ValueError("a key must consist of visible ASCII characters, without blanks and line breaks")
    return SecretStr(text)


class Keys:
    """The keys of a service, to be searched in text; while this exists, the HTTP client's log is searched too."""

    def __init__(self, keys: Iterable[SecretStr | None]) -> None:
        plain = {key.get_secret_value() for key in keys if key}
        self._encodings = {encoding for key in plain if len(key) >= _LONG for encoding in _encodings(key)}
        short = sorted(re.escape(key) for key in plain if _SHORTEST <= len(key) < _LONG)
        word = rf"(?:{'|'.join(short)})(?![A-Za-z0-9])"
        self._words = re.compile(rf"(?<![A-Za-z0-9]){word}", re.IGNORECASE)
        self._headers = re.compile(rf"Bearer[^A-Za-z0-9]{{0,8}}{word}", re.IGNORECASE)
        self._any_words = bool(short)
        if plain:
            _watch(self)

    def __bool__(self) -> bool:
        return bool(self._encodings) or self._any_words

    def __repr__(self) -> str:
        return "Keys()"

    def are_in(self, text: str) -> bool:
        """Return whether a text contains a key: plain, or encoded as HTML, JSON, URL, Base64 or hexadecimal digits."""
        return bool(self) and any(self._are_plainly_in(view, self._words) for view in _views(text))

    def are_in_answer(self, text: str) -> bool:
        """Like `are_in` for a model's text, in which a short key counts only after `Bearer`."""
        return bool(self) and any(self._are_plainly_in(view, self._headers) for view in _views(text))

    def hidden(self, text: str) -> str:
        """Return the text, or a remark if it contains a key."""
        return HIDDEN if self.are_in(text) else text

    def _are_plainly_in(self, text: str, words: re.Pattern[str]) -> bool:
        folded = text.casefold()
        return any(encoding in folded for encoding in self._encodings) or (self._any_words and bool(words.search(text)))


def _encodings(key: str) -> Iterator[str]:
    yield from (key.casefold(), quote(key, safe="").casefold(), html.escape(key).casefold())
    yield json.dumps(key)[1:-1].casefold()
    yield key.encode().hex()
    for shift in range(3):
        # The characters at both ends also depend on the bytes around the key.
        encoded = base64.b64encode(b"\0" * shift + key.encode()).rstrip(b"=").decode()
        inner = encoded[0 if not shift else 4 : len(encoded) if not (shift + len(key)) % 3 else -1]
        yield inner.casefold()
        yield inner.translate(str.maketrans("+/", "-_")).casefold()


def _views(text: str) -> Iterator[str]:
    """Yield a text, and its variants with one kind of escape after the other decoded."""
    seen = set()
    for _ in range(3):
        if text in seen:
            return
        seen.add(text)
        yield text
        if (bare := _NO_TEXT.sub("", text)) != text:
            yield bare
        if "%" in text:
            yield unquote(text, errors="replace")
        if "&" in text:
            yield _without_html(text)
        text = _without_html(unquote(_ESCAPED.sub(_unescaped, text), errors="replace"))


def _without_html(text: str) -> str:
    if "&#" in text:
        text = _NO_CHARACTER.sub("\ufffd", _ZEROS.sub("&#", text))
    return html.unescape(text)


def _unescaped(found: re.Match[str]) -> str:
    digits = found[1] or found[2]
    return chr(int(digits, 16)) if digits else found[3]


class _KeyFilter(logging.Filter):
    """Clears log records of the HTTP client that contain a key, such as an echoed header."""

    def filter(self, record: logging.LogRecord) -> bool:
        with _lock:
            all_keys = list(_watched)
        if not all_keys:
            return True
        try:
            text = record.getMessage()
        except Exception:  # the handler reports a message that cannot be formatted
            text = f"{record.msg} {record.args}"
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if any(keys.are_in(text) or (error and keys.are_in(_chained(error))) for keys in all_keys):
            record.msg, record.args, record.exc_info, record.exc_text = HIDDEN, (), None, None
        return True


def _chained(error: BaseException) -> str:
    texts: list[str] = []
    left: BaseException | None = error
    while left and len(texts) < _MAX_CHAIN:
        texts.append(f"{left} {left!r}")
        left = left.__cause__ or left.__context__
    return "\n".join(texts)


def _watch(keys: Keys) -> None:
    with _lock:
        _watched.add(keys)
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_filter)  # adding the same filter twice has no effect


_MAX_CHAIN = 10
_watched: weakref.WeakSet[Keys] = weakref.WeakSet()
_lock = threading.Lock()
_filter = _KeyFilter()


def _renew_lock() -> None:
    """Replace the lock in a forked child: the thread that may hold it exists only in the parent."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_lock)
