"""The text that ERNIEKit makes of a request and its answer with the model's own chat template.

It is the text reader's of ERNIEKit 1.0.1 (`ernie.dataset.finetuning`, `encode_chat_inputs` of paddleformers 0.1.6),
which tests/toolkit/test_preview_is_what_erniekit_sees.py holds it against, token by token.
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
# Of ERNIEKit's tokenizer, where tokenizer_config.json names no others.
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
# A template comes with a model from anywhere: what it may write, take and use up.
_MAX_TEXT_CHARACTERS = 64 * 1024 * 1024
_MAX_MEMORY_BYTES = 1024 * 1024 * 1024
_MAX_SECONDS = 20
# Its seconds are those of a process, so that a new one makes the next texts.
_TEXTS_OF_A_PROCESS = 500


@dataclass(frozen=True)
class ModelText:
    """A line as the model sees it.

    Attributes:
        untrained: what it reads.
        trained: what it learns to write: the answer and what ends it.
    """

    untrained: str
    trained: str


@dataclass(frozen=True)
class ChatTemplate:
    """A model's chat template.

    Attributes:
        text: the template, for Jinja.
        special_tokens: the tokenizer's special tokens by the names that templates know them by.
    """

    text: str
    special_tokens: Mapping[str, str]


class NoPromptError(Exception):
    """There is no prompt to be had from a model's folder; the message says why."""


def load_chat_template(model_dir: Path) -> ChatTemplate:
    """Read a model's chat template from its tokenizer_config.json, as ERNIEKit does, or else from chat_template.jinja.

    Raises:
        NoPromptError: the folder has none, or one that cannot be read.
    """
    if not model_dir.is_dir():
        raise NoPromptError(f"the model {model_dir} is no local folder")
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
        raise NoPromptError(f"the chat template of {model_dir} has {len(text):,} characters, which none needs")
    named = {name: _content(tokens.get(name, default)) for name, default in _SPECIAL_TOKENS.items()}
    return ChatTemplate(text, {name: token for name, token in named.items() if token})


@contextmanager
def prompting(template: ChatTemplate) -> Iterator[Callable[[str, str], ModelText]]:
    """Give a function that makes the model's text of a request and its answer.

    The template runs in a process of its own, where neither an endless loop nor a text without end harms anybody. The
    function raises NoPromptError where it cannot be rendered, or means another thing to ERNIEKit than it says.
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
                stuck = f"the chat template has not come to an end in {_MAX_SECONDS} s"
                raise NoPromptError(stuck) from error
            if isinstance(found, str):
                raise NoPromptError(f"the chat template cannot be rendered: {found}")
            end_token = template.special_tokens.get("eos_token", _SPECIAL_TOKENS["eos_token"])
            return model_text(*found, end_token, [*template.special_tokens.values()])

        yield make


def model_text(prompt: str, conversation: str, end_token: str, special_tokens: list[str]) -> ModelText:
    """What ERNIEKit trains on, where a template renders `prompt` without the answer and `conversation` with it.

    The reader puts the begin piece in front where the template did not. It takes away the last token, whatever it is,
    and trains the tokenizer's end token in its place: the model never sees how the template ends an answer.

    Args:
        prompt: the template's text of the request, with the answer to come.
        conversation: its text of the request and the answer.
        end_token: the tokenizer's end token.
        special_tokens: texts that the tokenizer takes for one token.

    Raises:
        NoPromptError: the two do not begin alike, or the answer ends in something else than a special token.
    """
    if not conversation.startswith(prompt):
        raise NoPromptError("the chat template renders another prompt with the answer than without it")
    answer = conversation[len(prompt) :]
    end = next((token for token in (END_PIECE, *special_tokens) if answer.endswith(token)), None)
    if end is None:
        raise NoPromptError(f"the chat template ends answers without a special token: {end_token} replaces a part")
    begin = "" if prompt.startswith(BEGIN_PIECE) else BEGIN_PIECE
    return ModelText(begin + prompt, answer.removesuffix(end) + end_token)


def _object(path: Path) -> dict[str, Any]:
    value = read_json(path, _MAX_CONFIG_BYTES) if path.is_file() else {}
    return value if isinstance(value, dict) else {}


def _content(token: object) -> str:
    """A special token's text, which configurations also give as an object."""
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")


def _limit() -> None:
    import resource
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops it
    # A pool's thread that replaces its processes ends with the pool.
    end_with_parent()
    for kind, most in ((resource.RLIMIT_AS, _MAX_MEMORY_BYTES), (resource.RLIMIT_CPU, _MAX_SECONDS)):
        with suppress(ValueError, OSError):  # macOS has no such limits, or lower ones are in force
            resource.setrlimit(kind, (most, most))


def _made(template: ChatTemplate, request: str, answer: str) -> tuple[str, str] | str:
    """The template's prompt and conversation, or why there are none."""
    # As the toolkit's reader does.
    turns = [{"role": "user", "content": request.strip()}, {"role": "assistant", "content": answer.strip()}]
    try:
        return _rendered(template, turns[:1], is_open=True), _rendered(template, turns, is_open=False)
    except Exception as error:  # whatever a template makes of itself
        return f"{type(error).__name__}: {error}"[:500]


def _rendered(template: ChatTemplate, messages: list[dict[str, str]], *, is_open: bool) -> str:
    """The template's text of a conversation, with the toolkit's own settings for Jinja."""
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
