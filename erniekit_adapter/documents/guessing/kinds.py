"""Kinds of fields, guessed from their keys and from the values in the examples."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from erniekit_adapter.documents.fields import NUMBER_KINDS, Kind
from erniekit_adapter.documents.guessing.shape import Part
from erniekit_adapter.documents.guessing.values import (
    Notation,
    date_in,
    has_ambiguous_mark,
    is_ambiguous_date,
    is_iso_date,
    is_percent_text,
    is_plain_number,
    number_in,
)
from erniekit_adapter.documents.guessing.words import NOT_PRINTED, kind_of_key, words_of
from erniekit_adapter.documents.money import is_currency, parse_currency

# Keys of a value inside the object that names it.
_VALUE_KEYS = frozenset({"value", "word", "words", "data"})
Certainty = Literal["sure", "likely", "unsure"]
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_FILE = re.compile(r"[^\s]{1,200}\.(?:png|jpe?g|pdf|tiff?|json|xml)", re.IGNORECASE)
_NUMBER_LIKE = re.compile(r"[A-Z0-9][A-Z0-9/._+-]*", re.IGNORECASE)
_CODE_WORDS = frozenset({
    "type", "status", "method", "category", "kind", "art", "zahlungsart", "state", "mode", "class", "typ", "direction",
    "unit", "einheit", "uom", "priority", "klasse", "steuerklasse",
})  # fmt: skip
# `rate`, `Satz` and `tarief` alone can be a price per hour.
_PERCENT_WORDS = frozenset({
    "tax", "taxes", "vat", "gst", "interest", "percent", "percentage", "pct", "discount", "steuersatz", "taux",
    "tva", "iva", "mwst", "ust", "prozent", "tasa", "porcentaje", "rabatt", "steuer", "steuern", "mehrwertsteuer",
    "umsatzsteuer", "zins", "zinsen", "btw", "korting", "rente",
})  # fmt: skip
_COUNT_KEYS = ("num", "no_of_items")
_CODE_PARTS = ("类型", "状态", "方式", "种类", "单位")
_MIN_CODED_VALUES, _MAX_CODES, _MAX_CODE_CHARACTERS = 6, 8, 30


class Remark(NamedTuple):
    """A sentence about the values of a field, and a value as an example."""

    text: str
    example: str = ""


@dataclass(frozen=True)
class FieldGuess:
    """A guessed field.

    Attributes:
        part: the values of the examples.
        kind: the guessed kind.
        evidence: the reason, in a few words.
        certainty: how sure the guess is.
        json_type: type in the schema.
        is_percent: whether a rate is written as 19.
        choices: the values of a code list.
        is_printed: whether a page can show it.
        checksum: format of python-stdnum that every value has.
        notes: remarks about values to look at.
    """

    part: Part
    kind: Kind
    evidence: str
    certainty: Certainty = "sure"
    json_type: str = "string"
    is_percent: bool = False
    choices: tuple[str, ...] = ()
    is_printed: bool = True
    checksum: str | None = None
    notes: tuple[Remark, ...] = ()

    @property
    def path(self) -> str:
        """The path of the field."""
        return self.part.path


def guess_field(part: Part, notation: Notation) -> FieldGuess:
    """Return the guess for the values at a path."""
    values = [value for _, value in part.values]
    hint = kind_of_key(part.key) or _kind_of_parent(part)
    if not values:
        return _without_values(part, hint)
    if all(isinstance(value, bool) for value in values):
        return FieldGuess(part, "flag", "true or false", json_type="boolean", is_printed=False)
    if any(isinstance(value, bool) for value in values):
        note = "true or false in some examples and other values in others: text for now"
        return FieldGuess(part, "text", "values of several kinds", "unsure", notes=(Remark(note),))
    guess = _first_of(part, values, hint, notation)
    return _with_type(_printed(guess, values), values)


def _kind_of_parent(part: Part) -> tuple[Kind, str] | None:
    """Return the kind that the object around a value suggests: `total` of `total.value`."""
    parents = part.path.replace("[]", "").split(".")[:-1]
    return kind_of_key(parents[-1]) if parents and part.key.casefold() in _VALUE_KEYS else None


def _without_values(part: Part, hint: tuple[Kind, str] | None) -> FieldGuess:
    kind = hint[0] if hint else "text"
    json_type = "number" if kind in NUMBER_KINDS else "string"
    evidence = f"key: {hint[1]}" if hint else "no value in any example"
    note = "no value in any example: check the kind, or remove it from the examples"
    return FieldGuess(part, kind, evidence, "unsure", json_type, notes=(Remark(note),))


def _first_of(part: Part, values: list[Any], hint: tuple[Kind, str] | None, notation: Notation) -> FieldGuess:
    for guess in (_checksum, _currency, _date, _number, _address, _identifier, _code):
        if found := guess(part, values, hint, notation):
            return found
    certainty: Certainty = "sure" if hint and hint[0] == "text" else "likely"
    evidence = f"key: {hint[1]}" if hint and hint[0] == "text" else "free text"
    return FieldGuess(part, "text", evidence, certainty, notes=_several_types(part))


def _several_types(part: Part) -> tuple[Remark, ...]:
    types = part.types
    return (Remark(f"values of several kinds: {', '.join(types)}; written as text"),) if len(types) > 1 else ()


def _checksums() -> dict[str, Callable[[str], bool]]:
    from stdnum import ean, iban
    from stdnum.cn import uscc
    from stdnum.eu import vat

    return {"iban": iban.is_valid, "eu.vat": vat.is_valid, "cn.uscc": uscc.is_valid, "ean": ean.is_valid}


# Words of keys whose values have a checksum; without one of them, a chance match would make a rule.
_CHECKSUM_WORDS: Mapping[str, tuple[str, ...]] = {
    "iban": ("iban", "account", "konto", "compte", "cuenta"),
    "eu.vat": ("vat", "ust", "ustid", "tva", "nif", "iva", "tax"),
    "cn.uscc": ("uscc", "tax", "code", "id"),
    "ean": ("ean", "gtin", "barcode", "upc"),
}
_SURE_BY_VALUE = ("iban", "cn.uscc")


def _checksum(part: Part, values: list[Any], _: object, __: Notation) -> FieldGuess | None:
    texts = [str(value) for value in values if isinstance(value, (str, int))]
    if len(texts) < len(values) or not all(8 <= len(text) <= 40 and any(map(str.isdigit, text)) for text in texts):
        return None
    words = set(words_of(part.key))
    for name, is_valid in _checksums().items():
        is_named = bool(words & set(_CHECKSUM_WORDS[name])) or (name == "cn.uscc" and "识别号" in part.key)
        if not is_named and not (name in _SURE_BY_VALUE and any(map(str.isalpha, texts[0]))):
            continue
        if all(map(is_valid, texts)):
            return FieldGuess(part, "identifier", f"{name} checksum", checksum=name)
        is_meant = name in words or (name == "eu.vat" and words & {"vat", "ustid"} and not words & {"rate", "amount"})
        if is_meant and (wrong := [text for text in texts if not is_valid(text)]):
            note = f"{wrong[0][:40]!r} has a wrong {name} checksum: no rule for it"
            return FieldGuess(part, "identifier", f"key: {name}", "likely", notes=(Remark(note),))
    return None


def _currency(part: Part, values: list[Any], hint: tuple[Kind, str] | None, _: Notation) -> FieldGuess | None:
    is_named = (hint is not None and hint[0] == "currency") or "currency" in words_of(part.key)
    if not all(isinstance(value, str) for value in values):
        return None
    if all(is_currency(value) for value in values):
        evidence = "key and values: ISO 4217" if is_named else "values: ISO 4217"
        return FieldGuess(part, "currency", evidence, "sure" if is_named else "unsure")
    if not is_named:
        return None
    unread = sorted({value for value in values if _code_of(value) is None})
    note = (
        f"{unread[0][:20]!r} is not an ISO 4217 code: written unchanged" if unread else "symbols become ISO 4217 codes"
    )
    return FieldGuess(part, "currency", f"key: {hint[1] if hint else ''}", "likely", notes=(Remark(note),))


def _code_of(text: str) -> str | None:
    try:
        return parse_currency(text)
    except ValueError:
        return None


def _date(part: Part, values: list[Any], hint: tuple[Kind, str] | None, notation: Notation) -> FieldGuess | None:
    is_named = hint is not None and hint[0] == "date"
    read = [date_in(value, notation, is_compact_allowed=is_named) for value in values]
    unread = [value for value, found in zip(values, read, strict=True) if found is None]
    if unread and not all(is_ambiguous_date(value) and (is_named or str(value)[-4:].isdecimal()) for value in unread):
        if not is_named or len(unread) == len(values):
            return None
        remark = Remark("not dates: left out of the written examples", _shown(unread[0]))
        return FieldGuess(part, "date", f"key: {hint[1] if hint else ''}", "unsure", notes=(remark,))
    if not is_named and not all(isinstance(value, str) and not is_plain_number(value) for value in values):
        return None
    notes = []
    if unread:
        text = "can be two dates: left out of the written examples; give --date-order day_first or month_first"
        notes.append(Remark(text, _shown(unread[0])))
    elif others := [value for value in values if not is_iso_date(value)]:
        times = "; times are left out" if any(":" in str(value) for value in others) else ""
        notes.append(
            Remark(f"not ISO 8601: written so{times}", _change(others[0], _iso(others[0], notation, is_named)))
        )
    evidence = "key and values" if is_named else "values: dates"
    return FieldGuess(
        part, "date", evidence, "unsure" if unread else "sure" if is_named else "likely", notes=tuple(notes)
    )


def _iso(value: Any, notation: Notation, is_compact_allowed: bool) -> str:
    return str(date_in(value, notation, is_compact_allowed=is_compact_allowed))


def _number(part: Part, values: list[Any], hint: tuple[Kind, str] | None, notation: Notation) -> FieldGuess | None:
    numbers = [number_in(value, notation) for value in values]
    kind = hint[0] if hint else None
    if part.key.casefold() in _COUNT_KEYS and all(isinstance(value, (int, Decimal)) for value in values):
        kind = "quantity"
    known = [number for number in numbers if number is not None]
    if kind in ("identifier", "text", "address") or not known:
        return None
    if len(known) < len(values):
        if kind not in NUMBER_KINDS or len(known) * 2 <= len(values):
            return None
        wrong = next(value for value, number in zip(values, numbers, strict=True) if number is None)
        remark = Remark("not numbers: left out of the written examples", _shown(wrong))
        return FieldGuess(part, kind, f"key: {hint[1] if hint else ''}", "unsure", notes=(remark,))
    notes = _number_notes(values, known)
    if any(map(is_percent_text, values)):
        return _rate(part, values, known)
    if kind == "rate":
        if not _PERCENT_WORDS.isdisjoint(words_of(part.path)) or not part.key.isascii():
            return _rate(part, values, known)
        note = "a price per unit, or a percentage? check x-kind"
        if max(known) <= 1:
            guess = _rate(part, values, known)
            return replace(guess, certainty="unsure", notes=(*guess.notes, Remark(note)))
        return FieldGuess(
            part, "amount", f"key: {hint[1] if hint else 'rate'}; above 1", "unsure", notes=(*notes, Remark(note))
        )
    if kind in ("amount", "quantity"):
        return FieldGuess(part, kind, f"key: {hint[1]}; numbers" if hint else "", notes=notes)
    if any(isinstance(value, str) and re.fullmatch(r"0[0-9]+|[0-9]{9,}", value) for value in values):
        return None
    if any(isinstance(value, str) and not is_plain_number(value) for value in values):
        has_unit = any(isinstance(value, str) and re.search(r"[^\d\s.,'’()+−–-]", value) for value in values)
        return FieldGuess(
            part, "amount", "values: with a currency" if has_unit else "values: amounts", "likely", notes=notes
        )
    if any(number.as_tuple().exponent == -2 for number in known):
        return FieldGuess(part, "amount", "values: two decimals", "unsure", notes=notes)
    return FieldGuess(part, "quantity", "values: numbers", "unsure", notes=notes)


def _number_notes(values: list[Any], known: list[Decimal]) -> tuple[Remark, ...]:
    notes = []
    texts = [value for value in values if isinstance(value, str)]
    if texts and len(texts) < len(values):
        notes.append(Remark("a number in some examples and text in others: written as a number"))
    pairs = [(value, number) for value, number in zip(values, known, strict=True) if isinstance(value, str)]
    odd = [(value, number) for value, number in pairs if not is_plain_number(value)]
    ambiguous = [(value, number) for value, number in odd if has_ambiguous_mark(value)]
    if ambiguous:
        text = "a mark before three digits: are these thousands? they are written so"
        notes.append(Remark(text, _change(*ambiguous[0])))
    elif odd:
        notes.append(Remark("not plain numbers: written so", _change(*odd[0])))
    elif texts:
        notes.append(Remark("numbers in text, as in the examples; for plain numbers set their type to number"))
    return tuple(notes)


def _shown(value: object) -> str:
    return str(value)[:40]


def _change(value: object, written: object) -> str:
    return f"{_shown(value)} → {written}"


def _rate(part: Part, values: list[Any], known: list[Decimal]) -> FieldGuess:
    above = [number for number in known if abs(number) > 1]
    between = [number for number in known if 0 < abs(number) < 1]
    is_percent = bool(above) or any(map(is_percent_text, values))
    notes = list(_number_notes(values, known))
    certainty: Certainty = "sure"
    if above and between:
        certainty = "unsure"
        notes.append(Remark("percent or fractions? taken as percent", f"{above[0]} and {between[0]}"))
    elif not above and not between:
        certainty = "unsure"
        notes.append(Remark("percent or fractions? no example shows it: check x-percent"))
    evidence = "values: 19 for 19 %" if is_percent else "values: 0.19 for 19 %"
    return FieldGuess(part, "rate", evidence, certainty, is_percent=is_percent, notes=tuple(notes))


def _address(part: Part, values: list[Any], hint: tuple[Kind, str] | None, _: Notation) -> FieldGuess | None:
    if hint is None or hint[0] != "address" or not all(isinstance(value, str) for value in values):
        return None
    return FieldGuess(part, "address", f"key: {hint[1]}")


def _identifier(part: Part, values: list[Any], hint: tuple[Kind, str] | None, _: Notation) -> FieldGuess | None:
    is_named = hint is not None and hint[0] == "identifier"
    notes = _several_types(part)
    if any(isinstance(value, (int, Decimal)) for value in values) and not notes and is_named:
        notes = (Remark("numbers in the examples: written as text, since an identifier keeps its zeros"),)
    if is_named:
        return FieldGuess(part, "identifier", f"key: {hint[1] if hint else ''}", notes=notes)
    if hint is None and all(isinstance(value, str) and _is_number_like(value) for value in values):
        return FieldGuess(part, "identifier", "values: letters and digits without blanks", "likely")
    return None


def _is_number_like(text: str) -> bool:
    has_digit = any(map(str.isdigit, text))
    return has_digit and 3 <= len(text) <= 40 and _NUMBER_LIKE.fullmatch(text) is not None


def _code(part: Part, values: list[Any], hint: tuple[Kind, str] | None, _: Notation) -> FieldGuess | None:
    texts = [value for value in values if isinstance(value, str)]
    counts = Counter(texts)
    is_named = bool(set(words_of(part.key)) & _CODE_WORDS) or any(word in part.key for word in _CODE_PARTS)
    needed = _MIN_CODED_VALUES if is_named else 4 * _MIN_CODED_VALUES
    if len(texts) < len(values) or len(texts) < needed or not 2 <= len(counts) <= _MAX_CODES or not is_named:
        return None
    if min(counts.values()) < 2 or any(len(text) > _MAX_CODE_CHARACTERS or not text.isprintable() for text in counts):
        return None
    note = f"only {', '.join(sorted(counts))} in the examples: add every other value that a document can have"
    return FieldGuess(
        part, "code", f"values: {len(counts)} in {len(texts)}", "unsure", choices=tuple(counts), notes=(Remark(note),)
    )


def _printed(guess: FieldGuess, values: list[Any]) -> FieldGuess:
    """Mark names of files, scores and the like as not printed."""
    texts = [value for value in values if isinstance(value, str)]
    is_hidden = bool(texts) and (all(map(_UUID.fullmatch, texts)) or all(map(_FILE.fullmatch, texts)))
    if not is_hidden and not NOT_PRINTED.matches(guess.part.key):
        return guess
    note = "a page does not show this: x-printed is false, so it is not requested, searched or scored"
    return replace(guess, is_printed=False, notes=(*guess.notes, Remark(note)))


def _with_type(guess: FieldGuess, values: list[Any]) -> FieldGuess:
    """Set the JSON type: numbers stay text only if every example writes them as text."""
    if guess.kind not in NUMBER_KINDS:
        return guess
    is_text = all(isinstance(value, str) for value in values) and not any(map(is_percent_text, values))
    return replace(guess, json_type="string" if is_text else "number")
