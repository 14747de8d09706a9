"""Control tokens in the text of a document: made harmless in the same way for training, evaluation and service.

A tokenizer takes `</s>` or `<|end_of_sentence|>` for one token wherever it finds it, so a page on which it is printed
could end the user's turn, or the answer. One blank behind the `<` makes it plain text for every tokenizer.
"""

from __future__ import annotations

import re

# The shape decides and no list of one model's, so that a model that is trained and a service that asks it always agree.
# Covered: tokenizers of ERNIE 4.5 and PaddleOCR-VL, marks of their chat templates and reasoning, and the marks that the
# toolkits replace with pages. Full-width signs become the ASCII ones in a tokenizer that normalises with NFKC.
_CONTROL_TOKEN = re.compile(
    r"[<＜]"
    r"(?="
    r"[|｜][^\s<>＜＞|｜]{1,64}[|｜]"
    r"|/?(?:s|unk|pad|bos|eos|cls|sep|eod|mask|think|thinking|response|tool_calls?|tool_response|tool_output"
    r"|system_setting|global_setting|user_setting|image|video|audio|ref-object|bbox)[>＞]"
    r"|mask:\d{1,4}[>＞]"
    r"|(?:extra_id|unused|special|reserved)_?\d{1,5}[>＞]"
    r"|0x[0-9A-Fa-f]{2}[>＞]"
    r")"
)


def neutralised(text: str) -> str:
    """A text without control tokens: `</s>` becomes `< /s>`; a text that has none is returned as it is.

    It may be plain text or JSON: a control token holds no character that JSON escapes.
    """
    if "<" not in text and "＜" not in text:
        return text
    return _CONTROL_TOKEN.sub(lambda found: f"{found[0]} ", text)
