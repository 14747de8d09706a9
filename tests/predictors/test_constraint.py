"""The choice of tokens for an answer that must match a schema, with a stand-in for the library's matcher."""

from __future__ import annotations

import numpy as np
import pytest

from erniekit_adapter.workers import constraint as module
from erniekit_adapter.workers.constraint import AnswerConstraint, Constraints, Row

END = 9


class WordMatcher:
    """Accepts one of some words, letter by letter; token n is the nth letter."""

    def __init__(self, *words: str) -> None:
        self.words, self.written, self.broken = words, "", False

    def _next(self) -> set[int]:
        place = len(self.written)
        fitting = [word for word in self.words if word.startswith(self.written)]
        return {ord(word[place]) - ord("a") for word in fitting if len(word) > place}

    def validate_tokens(self, tokens: list[int]) -> int:
        return int(tokens[0] in self._next())

    def compute_bitmask(self) -> bytes:
        allowed = self._next() | ({END} if self.is_accepting() else set())
        return sum(1 << token for token in allowed).to_bytes(4, "little")

    def consume_token(self, token: int) -> bool:
        self.written += chr(token + ord("a"))
        return not self.broken

    def is_accepting(self) -> bool:
        return self.written in self.words

    def is_error(self) -> bool:
        return self.broken

    def is_stopped(self) -> bool:
        return self.broken or not self._next()


def logits(*best: int) -> Row:
    """Return the logits of ten tokens, of which these are the best, in this order."""
    values = np.zeros(10, np.float32)
    values[list(best)] = np.arange(len(best), 0, -1)
    return values


def written(constraint: AnswerConstraint, *steps: tuple[int, ...]) -> list[int]:
    return [constraint.choose(step[0], lambda step=step: logits(*step)) for step in steps]  # type: ignore[misc]


def test_keeps_the_likeliest_token_without_reading_logits() -> None:
    def unread() -> Row:
        raise AssertionError

    assert AnswerConstraint(WordMatcher("ab"), END).choose(0, unread) == 0


@pytest.mark.parametrize(
    ("words", "steps", "tokens", "finished"),
    [
        (["abc"], [(0,), (1,), (2,)], [0, 1, 2], True),
        (["abc"], [(0,), (1,)], [0, 1], False),
        # Refused tokens are replaced by the likeliest of the others.
        (["ab", "cd"], [(5, 2, 0), (5, 1, 3)], [2, 3], True),
        # An answer does not end before it is complete, and may end or continue then.
        (["abc"], [(END, 0), (END, 1)], [0, 1], False),
        (["a", "abc"], [(0,), (END, 1)], [0, END], True),
        (["a", "abc"], [(0,), (5, 1, END)], [0, 1], False),
        # After its end nothing follows.
        (["a"], [(0,), (0,), (4,)], [0, END, END], True),
    ],
)
def test_chooses_the_likeliest_allowed_token(
    words: list[str], steps: list[tuple[int, ...]], tokens: list[int], finished: bool
) -> None:
    constraint = AnswerConstraint(WordMatcher(*words), END)
    assert written(constraint, *steps) == tokens
    assert constraint.finished is finished


def test_tokens_beyond_the_logits_are_not_chosen() -> None:
    constraint = AnswerConstraint(WordMatcher("z", "b"), END)
    assert written(constraint, (5, 0)) == [1]


def test_error_of_the_library_ends_an_unfinished_answer() -> None:
    matcher = WordMatcher("ab")
    matcher.broken = True
    constraint = AnswerConstraint(matcher, END)
    assert written(constraint, (0,), (1,)) == [END, END]
    assert not constraint.finished


def test_schema_without_the_library_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIBRARY", "library_that_is_missing")
    with pytest.raises(ValueError, match="needs the package library_that_is_missing"):
        Constraints(lambda: None, lambda text: [], END).start("{}")
