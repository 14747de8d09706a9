"""Find personal data (bank accounts, payment cards, tax numbers) by checksums, and mask it.

Data of a business on a page (its name, its VAT ID) is not masked, because a model has to read it.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeGuard

Kind = Literal["iban", "card", "tax_number", "vat_id"]
KINDS: tuple[Kind, ...] = ("iban", "card", "tax_number", "vat_id")
# IBANs and cards are masked for every owner: they are worth stealing, and no field of the answer holds them. A VAT ID
# belongs to a business and is in public registers.
PERSONAL_KINDS: frozenset[Kind] = frozenset({"iban", "card", "tax_number"})

# In JSON text a line end has two characters, the second of which is a letter.
_LINE_END = r"\\[nrt]"
_BEGIN = rf"(?:(?<![^\W_])|(?<={_LINE_END}))"
_GAP = rf"(?:[\s/-]|{_LINE_END})?"
_SPACE = rf"(?:[\s-]|{_LINE_END})?"
_END = r"(?![^\W_])"
# Almost all numbers have nine digits in a row, with or without marks between them. The first pattern is cheap; a text
# without a match has no match of the second pattern either.
_DIGITS = re.compile(r"[0-9][0-9\s/\\nrt-]{7,}[0-9]")
_SMALLEST_LONG_NUMBER, _LARGEST_LONG_NUMBER = 10**8, 10**19
_LONG_NUMBER = re.compile(rf"[0-9](?:{_GAP}[0-9]){{8,}}")
_IBAN_START = re.compile(rf"[A-Za-z]{{2}}[0-9OoIlSBZ]{{2}}(?={_SPACE}[A-Za-z0-9])")
_IBAN_BEFORE = re.compile(rf"(?:^|[\W_]|IBAN|{_LINE_END})$", re.IGNORECASE)
_IBAN_LENGTHS = (15, 34)
_IBAN_LABEL_DISTANCE = 24
# An IBAN can start this far before its first long run of digits.
_IBAN_LOOK_BACK = 16

# Groups of digits as printed on cards: 16 digits, 19 digits, American Express, Diners Club; or ungrouped digits.
_CARD = re.compile(
    rf"{_BEGIN}(?<!\+)(?<![0-9][./-])(?:[0-9]{{4}}(?:{_SPACE}[0-9]{{4}}){{3}}(?:{_SPACE}[0-9]{{3}})?|[0-9]{{4}}{_SPACE}[0-9]{{6}}"
    rf"{_SPACE}[0-9]{{4,5}}|[0-9]{{13,19}}){_END}(?![.,][0-9]{{2}}(?![0-9]))"
)
# Issuer identification numbers with the lengths of their cards (ISO/IEC 7812): Visa, Mastercard, American Express,
# Diners Club, Discover, JCB, UnionPay, Maestro. Visa's old cards with 13 digits are left out: one in eleven invoice
# numbers of this shape has a valid check digit.
_ISSUERS = re.compile(
    r"4(?:[0-9]{15}|[0-9]{18})|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"
    r"|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12}"
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12}|62[0-9]{14,17}|(?:50(?:18|20|38)|5893|6304|6759|676[1-3])[0-9]{9,15}"
)

# Personal numbers with a distinctive printed form: social security numbers of the US, France and Switzerland, and
# Italy's tax code.
_US_NUMBER = re.compile(rf"{_BEGIN}(?<!-)[0-9]{{3}}-[0-9]{{2}}-[0-9]{{4}}{_END}(?!-)")
_FRENCH_NUMBER = re.compile(
    rf"{_BEGIN}[12]{_SPACE}[0-9]{{2}}{_SPACE}[0-9]{{2}}{_SPACE}[0-9]{{2}}{_SPACE}[0-9]{{3}}{_SPACE}[0-9]{{3}}{_SPACE}"
    rf"[0-9]{{2}}{_END}"
)
_FRENCH_DIGITS = 15
_SWISS_NUMBER = re.compile(rf"{_BEGIN}756\.[0-9]{{4}}\.[0-9]{{4}}\.[0-9]{{2}}{_END}")
_ITALIAN_CODE = re.compile(rf"[A-Z]{{6}}[0-9]{{2}}[A-Z][0-9]{{2}}[A-Z][0-9]{{3}}[A-Z]{_END}")
_ITALIAN_LABELS = ("iscale", "ISCALE")
# Other personal numbers have no distinctive form: they count only after their label.
_LABELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"st(?:euer)?[\s.-]{0,2}(?:nummer|nr)", ("de.stnr", "at.tin")),
    (r"steuer[\s-]?id|idnr|steuerliche identifikationsnummer|steueridentifikationsnummer", ("de.idnr",)),
    (r"bsn|burgerservicenummer", ("nl.bsn",)),
    (r"pesel", ("pl.pesel",)),
    (r"ssn|social security number", ("us.ssn",)),
    (r"utr|unique taxpayer reference", ("gb.utr",)),
)
_LABEL = re.compile(
    rf"(?:^|[^a-z]|{_LINE_END})(?:{'|'.join(f'({label})' for label, _ in _LABELS)})(?:[^a-z0-9]|{_LINE_END}){{0,6}}$"
)
_LABEL_LOOK_BACK = 36
_LABELLED_LENGTHS = (9, 13)
_VAT_ID_START = re.compile(
    rf"{_BEGIN}(?:AT|BE|BG|CY|CZ|DE|DK|EE|EL|ES|FI|FR|HR|HU|IE|IT|LT|LU|LV|MT|NL|PL|PT|RO|SE|SI|SK|XI)"
    r"(?=[ .-]?[0-9A-Z])"
)
_VAT_ID_LENGTHS = (10, 14)
# Lookaheads need some characters after a run of digits.
_LOOK_AHEAD = 4
# Maximum number of labelled numbers that are also searched without their label; a document has one or two.
_MAX_REPEATED = 50
_NO_CHARACTER = re.compile(rf"{_LINE_END}|[\W_]")
_CHARACTER = re.compile(rf"({_LINE_END})|[^\W_]")
# Context of an unquoted number in JSON: its digits must stay digits.
_BEFORE_JSON_NUMBER, _AFTER_JSON_NUMBER = re.compile(r'(?:"\s*:|[\[,])\s*$'), re.compile(r"\s*[,}\]]")


@dataclass(frozen=True)
class PersonalData:
    """The place of personal data in a text; the data itself is not kept, so that a report cannot leak it.

    Attributes:
        kind: kind of data.
        start: index of its first character.
        end: index after its last character.
    """

    kind: Kind
    start: int
    end: int


def find_personal(text: str, kinds: Collection[Kind] = PERSONAL_KINDS) -> tuple[PersonalData, ...]:
    """Find personal data in a text, which may be JSON, in the order of the text.

    - `iban`: valid checksum and the length of its country (ISO 13616), with or without blanks; after the word IBAN also
      with letters that OCR wrote for digits (O for 0).
    - `card`: valid check digit (Luhn) and a known issuer's prefix, with or without blanks between the groups of a card.
    - `tax_number`: personal numbers. By their form: US SSN and ITIN (123-45-6789), French NIR, Swiss AHV number;
      Italian codice fiscale if the text names it. Only after their label: Steuernummer (Germany, Austria), Steuer-ID,
      BSN, PESEL, UTR, SSN without hyphens; the same number is then found everywhere in the text.
    - `vat_id`: VAT IDs of the EU, with the prefix of the country and a valid checksum.
    """
    found: list[PersonalData] = []
    numbers = _long_numbers(text)
    if "iban" in kinds:
        _add(found, "iban", _ibans(text, numbers))
    if "card" in kinds:
        _add(found, "card", _cards(text, numbers))
    if "tax_number" in kinds:
        _add(found, "tax_number", _numbers_by_form(text, numbers))
        _add(found, "tax_number", _numbers_by_label(text, numbers))
    if "vat_id" in kinds:
        _add(found, "vat_id", _vat_ids(text))
    return tuple(sorted(found, key=lambda finding: finding.start))


def mask(text: str, kinds: Collection[Kind] = PERSONAL_KINDS) -> tuple[str, tuple[Kind, ...]]:
    """Mask personal data in a text: each letter and digit becomes X, except the country of an IBAN or a VAT ID.

    Length, blanks and punctuation do not change, so JSON stays valid JSON; digits of an unquoted number become 9.

    Returns:
        The masked text, and each kind found, once.
    """
    found = find_personal(text, kinds)
    parts: list[str] = []
    position = 0
    for finding in found:
        parts += text[position : finding.start], _masked(text, finding)
        position = finding.end
    return "".join((*parts, text[position:])), tuple(kind for kind in KINDS if any(part.kind == kind for part in found))


def mask_value(value: Any, kinds: Collection[Kind] = PERSONAL_KINDS) -> tuple[Any, tuple[Kind, ...]]:
    """Mask personal data in every string of a JSON value; return a new value and leave the old one unchanged.

    Strings are read in sequence, so a number that is split over several tokens is found, and so is a number whose label
    is in the token before. Pass related values together, `{"ocr": …, "answer": …}`: a number that is labelled only in
    the request is then masked in the answer too. A masked integer becomes a string. Keys are not searched.

    Returns:
        The masked value, and each kind found, once.
    """
    text = "\n".join(str(part) for part in _readable(value))
    masked, found = mask(text, kinds)
    if not found:
        return value, ()
    root = [value]
    position = 0
    for container, key in _copied_places(root):
        end = position + len(str(container[key]))
        if masked[position:end] != text[position:end]:
            container[key] = masked[position:end]
        position = end + 1
    return root[0], found


def _readable(value: object) -> Iterator[str | int]:
    """Yield every string and long integer of a value in order; nesting does not use the call stack."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str) or _is_long(part):
            yield part
        elif isinstance(part, dict):
            waiting += [*part.values()][::-1]
        elif isinstance(part, (list, tuple)):
            waiting += part[::-1]


def _copied_places(root: list[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield container and key of each string and long integer, after copying all containers below the root."""
    waiting: list[tuple[Any, Any]] = [(root, 0)]
    while waiting:
        container, key = waiting.pop()
        part = container[key]
        if isinstance(part, str) or _is_long(part):
            yield container, key
        elif isinstance(part, dict):
            container[key] = copied = dict(part)
            waiting += [(copied, name) for name in copied][::-1]
        elif isinstance(part, (list, tuple)):
            container[key] = listed = list(part)
            waiting += [(listed, place) for place in range(len(listed))][::-1]


def _is_long(part: object) -> TypeGuard[int]:
    return isinstance(part, int) and _SMALLEST_LONG_NUMBER <= part < _LARGEST_LONG_NUMBER


def _masked(text: str, finding: PersonalData) -> str:
    part = text[finding.start : finding.end]
    bare = part.isdigit() and ('":' in text or "[" in text) and _AFTER_JSON_NUMBER.match(text, finding.end)
    if bare and _BEFORE_JSON_NUMBER.search(text[max(0, finding.start - 8) : finding.start]):
        return "9" * len(part)
    country = 2 if finding.kind in ("iban", "vat_id") else 0
    return part[:country] + _CHARACTER.sub(lambda found: found[1] or "X", part[country:])


def _add(found: list[PersonalData], kind: Kind, places: Iterable[tuple[int, int]]) -> None:
    """Add the places that overlap no earlier one, each once."""
    found.sort(key=lambda finding: finding.start)
    starts = [finding.start for finding in found]
    new: list[PersonalData] = []
    for start, end in sorted(set(places)):
        before = bisect_left(starts, end) - 1
        taken = (before >= 0 and found[before].end > start) or (new and new[-1].end > start)
        if not taken:
            new.append(PersonalData(kind, start, end))
    found += new


def _long_numbers(text: str) -> list[re.Match[str]]:
    found: list[re.Match[str]] = []
    for digits in _DIGITS.finditer(text):
        start, end = digits.span()
        # Most numbers are dates such as 2025-01-15, with eight digits: exclude them quickly.
        if end - start - text.count("-", start, end) > 8:
            found += _LONG_NUMBER.finditer(text, start, end)
    return found


def _ibans(text: str, numbers: list[re.Match[str]]) -> Iterator[tuple[int, int]]:
    near = [(number.start() - _IBAN_LOOK_BACK, number.end()) for number in numbers]
    if "IBAN" in text:
        near += [(label.end(), label.end() + _IBAN_LABEL_DISTANCE) for label in re.finditer("IBAN", text)]
    behind = 0
    for first, last in sorted(near):
        for start in _IBAN_START.finditer(text, max(behind, first), last):
            if start.start() < behind or not _IBAN_BEFORE.search(text, max(0, start.start() - 4), start.start()):
                continue
            if end := _end_of(text, start.start(), _IBAN_LENGTHS, _is_iban):
                behind = end
                yield start.start(), end


def _is_iban(number: str) -> bool:
    from stdnum import iban

    if iban.is_valid(number):
        return True
    digits = number[2:].translate(str.maketrans("OoIlSBZ", "0011582"))
    return digits.isdigit() and digits != number[2:] and iban.is_valid(number[:2] + digits)


def _end_of(text: str, start: int, lengths: tuple[int, int], is_valid: Callable[[str], bool]) -> int | None:
    """Return the end of a valid number that starts at `start`: the end of a group, preferably on the same line."""
    shortest, longest = lengths
    part = re.compile(rf"[^\W_](?:{_GAP}[^\W_]){{{shortest - 1},{longest - 1}}}").match(text, start)
    if part is None:
        return None
    ends = [end for end in range(start + shortest, part.end() + 1) if not text[end : end + 1].isalnum()]
    for end in sorted(ends, key=lambda end: ("\n" in text[start:end] or "\\" in text[start:end], -end)):
        if text[end - 1].isalnum() and is_valid(_NO_CHARACTER.sub("", text[start:end])):
            return end
    return None


def _cards(text: str, numbers: list[re.Match[str]]) -> Iterator[tuple[int, int]]:
    for number in numbers:
        for card in _CARD.finditer(text, number.start(), number.end() + _LOOK_AHEAD):
            end = card.end()
            if _is_card(card[0]):
                yield card.start(), end
            elif len(_NO_CHARACTER.sub("", card[0])) == 19 and _is_card(card[0][:-4]):
                yield card.start(), end - 4


def _is_card(printed: str) -> bool:
    from stdnum import ean, luhn

    digits = _NO_CHARACTER.sub("", printed)
    # Article numbers can have as many digits as cards of Diners Club and Maestro, with another kind of check digit.
    return bool(_ISSUERS.fullmatch(digits)) and luhn.is_valid(digits) and not ean.is_valid(digits)


def _numbers_by_form(text: str, numbers: list[re.Match[str]]) -> Iterator[tuple[int, int]]:
    forms: list[tuple[re.Match[str], str]] = []
    for number in numbers:
        first, last = number.start(), number.end() + _LOOK_AHEAD
        if "-" in number[0]:
            forms += [(found, "us") for found in _US_NUMBER.finditer(text, first, last)]
        if last - first > _FRENCH_DIGITS:
            forms += [(found, "fr.nir") for found in _FRENCH_NUMBER.finditer(text, first, last)]
    if "756." in text:
        forms += [(found, "ch.ssn") for found in _SWISS_NUMBER.finditer(text)]
    if any(word in text for word in _ITALIAN_LABELS):
        forms += [(found, "it.codicefiscale") for found in _ITALIAN_CODE.finditer(text)]
    for found, name in forms:
        names = ("us.ssn", "us.itin") if name == "us" else (name,)
        if _is_valid(_NO_CHARACTER.sub("", found[0]), names):
            yield found.span()


def _numbers_by_label(text: str, numbers: list[re.Match[str]]) -> Iterator[tuple[int, int]]:
    known: dict[str, None] = {}
    for number in numbers:
        label = _LABEL.search(text[max(0, number.start() - _LABEL_LOOK_BACK) : number.start()].casefold())
        if label is None:
            continue
        names = _LABELS[(label.lastindex or 1) - 1][1]
        end = _end_of(text, number.start(), _LABELLED_LENGTHS, partial(_is_valid, names=names))
        if end:
            yield number.start(), end
            known[_NO_CHARACTER.sub("", text[number.start() : end])] = None
    if known:
        spelt = "|".join(_GAP.join(number) for number in list(known)[:_MAX_REPEATED])
        yield from (found.span() for found in re.finditer(rf"{_BEGIN}(?:{spelt}){_END}", text))


def _is_valid(number: str, names: tuple[str, ...]) -> bool:
    from importlib import import_module

    return any(import_module(f"stdnum.{name}").is_valid(number) for name in names)


def _vat_ids(text: str) -> Iterator[tuple[int, int]]:
    from stdnum.eu import vat

    for start in _VAT_ID_START.finditer(text):
        if end := _end_of(text, start.start(), _VAT_ID_LENGTHS, vat.is_valid):
            yield start.start(), end
