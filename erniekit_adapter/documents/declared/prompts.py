"""Requests about documents of a declared type, from its own prompt templates or those of its language."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from erniekit_adapter.documents import json_text
from erniekit_adapter.documents.control_tokens import neutralised
from erniekit_adapter.documents.declared.chinese import CHINESE
from erniekit_adapter.documents.declared.definition import Definition
from erniekit_adapter.documents.declared.english import ENGLISH
from erniekit_adapter.documents.declared.prompt_texts import Given, PromptTexts, VerdictFacts
from erniekit_adapter.documents.document_type import VerdictKeys
from erniekit_adapter.documents.fields import NUMBER_KINDS, Field
from erniekit_adapter.documents.prompt_set import OCR_MARKS, PageTexts, PromptSet, structure_text
from erniekit_adapter.documents.rules.rule import Rule
from erniekit_adapter.yaml_files import Key, LocatedFile

_TEXTS: Mapping[str, PromptTexts] = {"en": ENGLISH, "zh": CHINESE}
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
# Placeholders of own prompt templates: those that a template must have, and those that it can have.
_PLACEHOLDERS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "analysis": (frozenset({"given", "structure"}), frozenset({"rules"})),
    "extraction": (frozenset({"given", "structure"}), frozenset()),
    "validation": (frozenset({"rules", "structure"}), frozenset()),
}
# A longer list of values is left out of the request.
_MAX_CODES_CHARACTERS = 200


def declared_prompts(
    definition: Definition,
    fields: Mapping[str, Field],
    rules: tuple[Rule, ...],
    content_key: str | None,
    verdict: VerdictKeys | None,
) -> PromptSet:
    """Return the requests about documents of a type; those for a verdict only if its answers have one."""
    texts, own = _TEXTS[definition.language], definition.prompts
    content = structure_text(fields.values())
    extraction = content if content_key is None else f"{{{json_text.compose(content_key)}:{content}}}"
    analysis = extraction if verdict is None else f"{extraction[:-1]},{_verdict_structure(verdict)}}}"
    parts = _parts(definition, fields, rules, verdict)

    def about_a_page(
        templates: Sequence[tuple[str, Given]], structure: str, names: Mapping[str, str]
    ) -> list[PageTexts]:
        return [_page_texts(_filled(text, names), given, structure) for text, given in templates]

    without_checks = parts | {"checks": ""}
    given = texts.analysis[0][1], texts.extraction[0][1]
    validation: tuple[str, ...] = ()
    if verdict is not None:
        filled = (_filled(text, parts) for text in own.validation or texts.validation)
        structure = f"{{{_verdict_structure(verdict)}}}"
        validation = tuple(_inserted(text, {"structure": structure}) for text in filled)
    return PromptSet(
        analysis=tuple(about_a_page([(text, given[0]) for text in own.analysis] or texts.analysis, analysis, parts)),
        extraction=tuple(
            about_a_page([(text, given[1]) for text in own.extraction] or texts.extraction, extraction, without_checks)
        ),
        validation=validation,
        content_key=content_key,
        ocr_mark=OCR_MARKS[definition.language],
        data_mark=texts.data_mark,
        verdict_key=None if verdict is None else verdict.key,
    )


def check_prompts(definition: Definition, file: LocatedFile) -> None:
    """Add a problem for each prompt template with a wrong placeholder, and each text that a request cannot contain."""
    prompts = definition.prompts
    for task, (needed, allowed) in _PLACEHOLDERS.items():
        for index, text in enumerate(getattr(prompts, task)):
            key: Key = ("prompts", task, index)
            found = set(_PLACEHOLDER.findall(text))
            for name in sorted(needed - found):
                file.add(key, f"has no {{{name}}}", f"write {{{name}}} at its place in the text")
            for name in sorted(found - needed - allowed):
                names = ", ".join(f"{{{each}}}" for each in sorted(needed | allowed))
                file.add(key, f"unknown placeholder {{{name}}}", f"use {names}")
    if prompts.validation and not definition.answer.verdict:
        file.add(("prompts", "validation"), "answers have no verdict to ask for", "add answer: {verdict: true}")
    if prompts.checks is not None and not definition.answer.verdict:
        file.add(("prompts", "checks"), "answers have no verdict to ask for", "add answer: {verdict: true}")
    marks = (OCR_MARKS[definition.language], _TEXTS[definition.language].data_mark)
    for text_key, text in _texts_of(definition):
        if neutralised(text) != text:
            file.add(text_key, "has a control token of a tokenizer, such as </s>", "remove it")
        for mark in marks:
            if mark in text:
                file.add(text_key, f"has {mark!r}, which begins the data of a request", "use other words")


def _texts_of(definition: Definition) -> Iterator[tuple[Key, str]]:
    yield ("title",), definition.title
    prompts = definition.prompts
    for name in ("regions", "analysis", "extraction", "validation"):
        for index, text in enumerate(getattr(prompts, name)):
            yield ("prompts", name, index), text
    if prompts.checks is not None:
        yield ("prompts", "checks"), prompts.checks
    for index, rule in enumerate(definition.rules):
        yield ("rules", index, "name"), rule.name
        yield ("rules", index, "sentence"), rule.sentence


def _parts(
    definition: Definition, fields: Mapping[str, Field], rules: tuple[Rule, ...], verdict: VerdictKeys | None
) -> dict[str, str]:
    """Return the texts of the placeholders that are the same in every request."""
    texts, regions = _TEXTS[definition.language], definition.prompts.regions
    printed = [field for field in fields.values() if field.is_printed]
    blank = " " if definition.language == "en" else ""
    listed = blank.join(texts.rule.format(name=rule.name, sentence=rule.sentence) for rule in rules)
    facts = "" if verdict is None else texts.verdict(_facts(definition, rules, verdict))
    checks = definition.prompts.checks or (texts.checks.format(rules=listed) if rules else "")
    # The own templates have one placeholder for both.
    both = f"{listed}{blank}{facts}" if definition.prompts.validation else listed
    separator = "; " if definition.language == "en" else "、"
    return {
        "title": definition.title,
        "regions": texts.regions.format(names=separator.join(regions)) if regions else "",
        "checks": "" if verdict is None else checks,
        "codes": blank.join(_codes(printed, texts)),
        "notation": _notation(printed, texts),
        "rules": both,
        "verdict": facts,
    }


def _facts(definition: Definition, rules: tuple[Rule, ...], keys: VerdictKeys) -> VerdictFacts:
    def names(is_meant: Callable[[Rule], bool]) -> tuple[str, ...]:
        return tuple(rule.name for rule in rules if is_meant(rule))

    return VerdictFacts(
        keys=keys,
        has_errors=any(rule.level == "error" for rule in rules),
        # As declared: requests do not depend on the functions that a project allows.
        decisive=tuple(rule.name for rule in definition.rules if rule.decisive),
        warnings=names(lambda rule: rule.level == "warn"),
        arithmetic=names(lambda rule: rule.is_arithmetic),
        sums=names(lambda rule: rule.is_sum),
    )


def _codes(fields: Sequence[Field], texts: PromptTexts) -> Iterator[str]:
    for field in fields:
        values = texts.separator.join(field.choices)
        if field.choices and len(values) <= _MAX_CODES_CHARACTERS:
            yield texts.code.format(path=field.path, values=values)


def _notation(fields: Sequence[Field], texts: PromptTexts) -> str:
    """Return the sentence about the notation of the kinds that a type has."""
    numbers = [field for field in fields if field.kind in NUMBER_KINDS]
    as_text = [field for field in numbers if field.is_text]
    rates = [field for field in fields if field.kind == "rate"]
    percent = [field for field in rates if field.is_percent]
    parts = []
    for kind, text in texts.kinds.items():
        of_kind = [field for field in fields if field.kind == kind]
        if kind == "rate" and percent:
            if len(percent) < len(rates):
                parts.append(text)
            names = texts.separator.join(field.path for field in percent)
            parts.append(texts.percent if len(percent) == len(rates) else texts.some_percent.format(names=names))
        elif of_kind and (kind == "rate" or not numbers or len(as_text) < len(numbers) or kind not in NUMBER_KINDS):
            parts.append(text)
    if as_text:
        names = texts.separator.join(field.path for field in as_text)
        are_all = len(as_text) == len(numbers)
        parts.append(texts.text_numbers if are_all else texts.some_text_numbers.format(names=names))
    return texts.notation.format(parts=texts.separator.join(parts)) if parts else ""


def _filled(text: str, parts: Mapping[str, str]) -> str:
    """Fill in everything but the input and the structure; the blank beside an empty part disappears."""
    found = _PLACEHOLDER.sub(lambda match: parts.get(match[1], match[0]) or "\0", text)
    return re.sub(r" ?\0", "", found).replace(" \n", "\n").strip()


def _inserted(text: str, parts: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: parts.get(match[1], match[0]), text)


def _page_texts(text: str, given: Given, structure: str) -> PageTexts:
    sentences = {
        (False, False): given.ocr,
        (True, False): given.ocr,
        (True, True): given.ocr_and_image,
        (False, True): given.image,
    }
    return {key: _inserted(text, {"given": each, "structure": structure}) for key, each in sentences.items()}


def _verdict_structure(keys: VerdictKeys) -> str:
    is_valid, math_verified, issues = map(json_text.compose, (keys.is_valid, keys.math_verified, keys.issues))
    return f"{json_text.compose(keys.key)}:{{{is_valid},{math_verified},{issues}:[]}}"
