"""Render a request and its answer with the model's chat template, as ERNIEKit does.

It follows the text reader of ERNIEKit 1.0.1 (`ernie.dataset.finetuning`, `encode_chat_inputs` of paddleformers 0.1.6);
tests/toolkit/test_preview_is_what_erniekit_sees.py compares both token by token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import TimeoutError as StillRunning
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NoReturn

from data_tools.parent_death import end_with_parent
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.files import read_bytes, read_json

BEGIN_PIECE = "<|begin_of_sentence|>"
END_PIECE = "<|end_of_sentence|>"
# Defaults of ERNIEKit's tokenizer, if tokenizer_config.json names no others.
_SPECIAL_TOKENS = {
    "bos_token": "<s>",
    "cls_token": "<cls>",
    "eos_token": "</s>",
    "mask_token": "<mask:0>",
    "pad_token": "<pad>",
    "sep_token": "<sep>",
    "unk_token": "<unk>",
}
_MAX_CONFIG_BYTES = 16 * 1024 * 1024
_MAX_TEMPLATE_CHARACTERS = 256 * 1024
# A template is untrusted code, so its output, memory and time are limited.
_MAX_TEXT_CHARACTERS = 64 * 1024 * 1024
_MAX_MEMORY_BYTES = 1024 * 1024 * 1024
_MAX_SECONDS = 20
# The time limit counts per process, so a new process renders the next texts.
_TEXTS_OF_A_PROCESS = 500


@dataclass(frozen=True)
class ModelText:
    """A training example as the model sees it.

    Attributes:
        untrained: the text that the model reads.
        trained: the text that it learns to write: the answer and its end token.
    """

    untrained: str
    trained: str


@dataclass(frozen=True)
class ChatTemplate:
    """A model's chat template.

    Attributes:
        text: the template, for Jinja.
        special_tokens: the tokenizer's special tokens, by their names in templates.
    """

    text: str
    special_tokens: Mapping[str, str]


class NoPromptError(Exception):
    """The model's folder gives no prompt; the message contains the reason."""


def load_chat_template(model_dir: Path) -> ChatTemplate:
    """Read a model's chat template from tokenizer_config.json, as ERNIEKit does, or else from chat_template.jinja.

    Raises:
        NoPromptError: the folder has no template, or one that cannot be read.
    """
    if not model_dir.is_dir():
        raise NoPromptError(f"the model {model_dir} is not a local folder")
    try:
        config = _object(model_dir / "tokenizer_config.json")
        text = config.get("chat_template")
        own_file = model_dir / "chat_template.jinja"
        if text is None and own_file.is_file():
            text = read_bytes(own_file, _MAX_CONFIG_BYTES).decode()
        tokens = config | _object(model_dir / "special_tokens_map.json")
    except (AdapterError, UnicodeDecodeError) as error:
        raise NoPromptError(str(error)) from error
    if not isinstance(text, str):
        raise NoPromptError(f"the model {model_dir} has no chat template")
    if len(text) > _MAX_TEMPLATE_CHARACTERS:
        raise NoPromptError(
            f"the chat template of {model_dir} has {len(text):,} characters, more than {_MAX_TEMPLATE_CHARACTERS:,}"
        )
    named = {name: _content(tokens.get(name, default)) for name, default in _SPECIAL_TOKENS.items()}
    return ChatTemplate(text, {name: token for name, token in named.items() if token})


@contextmanager
def prompting(template: ChatTemplate) -> Iterator[Callable[[str, str], ModelText]]:
    """Yield a function that renders the model's text of a request and its answer.

    The template runs in its own process, so that endless loops and endless texts do no harm. The function raises
    NoPromptError if the template cannot be rendered, or if ERNIEKit would use it differently.
    """
    stuck = ""
    with get_context("spawn").Pool(1, _limit, maxtasksperchild=_TEXTS_OF_A_PROCESS) as pool:

        def make(request: str, answer: str) -> ModelText:
            nonlocal stuck
            if stuck:
                raise NoPromptError(stuck)
            try:
                found = pool.apply_async(_made, (template, request, answer)).get(_MAX_SECONDS)
            except StillRunning as error:
                stuck = f"the chat template did not finish in {_MAX_SECONDS} s"
                raise NoPromptError(stuck) from error
            if isinstance(found, str):
                raise NoPromptError(f"the chat template cannot be rendered: {found}")
            end_token = template.special_tokens.get("eos_token", _SPECIAL_TOKENS["eos_token"])
            return model_text(*found, end_token, [*template.special_tokens.values()])

        yield make


def model_text(prompt: str, conversation: str, end_token: str, special_tokens: list[str]) -> ModelText:
    """Return the text that ERNIEKit trains on.

    ERNIEKit's reader inserts the begin token if the template did not. It removes the last token, whichever it is, and
    trains the tokenizer's end token in its place: the model never sees how the template ends an answer.

    Args:
        prompt: the template's text of the request, before the answer.
        conversation: the template's text of request and answer.
        end_token: the tokenizer's end token.
        special_tokens: texts that the tokenizer converts to one token.

    Raises:
        NoPromptError: the two texts start differently, or the answer does not end with a special token.
    """
    if not conversation.startswith(prompt):
        raise NoPromptError("the chat template renders different prompts with and without the answer")
    answer = conversation[len(prompt) :]
    end = next((token for token in (END_PIECE, *special_tokens) if answer.endswith(token)), None)
    if end is None:
        raise NoPromptError(f"the chat template ends answers without a special token: {end_token} would replace text")
    begin = "" if prompt.startswith(BEGIN_PIECE) else BEGIN_PIECE
    return ModelText(begin + prompt, answer.removesuffix(end) + end_token)


def _object(path: Path) -> dict[str, Any]:
    value = read_json(path, _MAX_CONFIG_BYTES) if path.is_file() else {}
    return value if isinstance(value, dict) else {}


def _content(token: object) -> str:
    """Return a special token's text; configurations can give it as an object."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")


def _limit() -> None:
    import resource
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    # The pool thread that starts replacements ends with the pool.
    end_with_parent()
    for kind, most in ((resource.RLIMIT_AS, _MAX_MEMORY_BYTES), (resource.RLIMIT_CPU, _MAX_SECONDS)):
        with suppress(ValueError, OSError):  # macOS has no such limits, or lower ones are in force
            resource.setrlimit(kind, (most, most))


def _made(template: ChatTemplate, request: str, answer: str) -> tuple[str, str] | str:
    """Return the template's prompt and conversation, or an error message."""
    # The toolkit's reader strips both texts, too.
    turns = [{"role": "user", "content": request.strip()}, {"role": "assistant", "content": answer.strip()}]
    try:
        return _rendered(template, turns[:1], is_open=True), _rendered(template, turns, is_open=False)
    except Exception as error:  # templates can fail in any way
        return f"{type(error).__name__}: {error}"[:500]


def _rendered(template: ChatTemplate, messages: list[dict[str, str]], *, is_open: bool) -> str:
    """Render a conversation with the toolkit's own Jinja settings."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.globals["raise_exception"] = _raise
    parts, length = [], 0
    compiled = environment.from_string(template.text)
    for part in compiled.generate(messages=messages, add_generation_prompt=is_open, **template.special_tokens):
        length += len(part)
        if length > _MAX_TEXT_CHARACTERS:
            raise ValueError(f"more than {_MAX_TEXT_CHARACTERS:,} characters")
        parts.append(part)
    return "".join(parts)


def _raise(message: str) -> NoReturn:
    raise ValueError(message)
