"""Guesses from example answers that are written in a test."""

from __future__ import annotations

from typing import Any

from erniekit_adapter.documents.guessing.examples import ExampleAnswer
from erniekit_adapter.documents.guessing.guess import TypeGuess, guess_type


def guessed(*answers: dict[str, Any], **options: Any) -> TypeGuess:
    """Return the guess for answers; amounts must be Decimal or text, as in parsed JSON."""
    examples = [ExampleAnswer(f"answers.json[{index}]", answer) for index, answer in enumerate(answers)]
    return guess_type(examples, options.pop("title", "document"), **options)


def equations(guess: TypeGuess) -> set[str]:
    """Return the equations of the proposed rules."""
    return {rule.section["equation"] for rule in guess.rules if "equation" in rule.section}


def notes(guess: TypeGuess) -> str:
    """Return all notes as one text."""
    return "\n".join(f"{note.path}: {note.text} {note.example}" for note in guess.notes)
