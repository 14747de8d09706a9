"""Neutralising control tokens in the text of a document, in the same way for training, evaluation and service.

A tokenizer reads `</s>` or `<|end_of_sentence|>` as one token everywhere, so a page on which it is printed could end
the user's turn or the answer. One blank after the `<` makes it plain text for every tokenizer.
"""

from __future__ import annotations

import re

# A pattern, not the token list of one model, so that training and service always agree. It covers the tokenizers of
# ERNIE 4.5 and PaddleOCR-VL, the marks of their chat templates and reasoning, and the marks that the toolkits replace
# with pages. Full-width signs become ASCII in a tokenizer that normalises with NFKC.
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
    """Return the text without control tokens: `</s>` becomes `< /s>`; other text is unchanged.

    The text may be plain or JSON: control tokens contain no character that JSON escapes.
    """
    if "<" not in text and "＜" not in text:
        return text
    return _CONTROL_TOKEN.sub(lambda found: f"{found[0]} ", text)
