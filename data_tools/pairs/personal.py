"""Personal data: bank accounts, payment cards and tax numbers are found by their checksums and masked.

What a page says of a business (its name, its VAT id) is what a model has to read, and stays.
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
# An IBAN and a card are worth stealing whoever owns them, and no field of the answer asks for them. A VAT id belongs to
# a business and stands in public registers.
PERSONAL_KINDS: frozenset[Kind] = frozenset({"iban", "card", "tax_number"})

# Inside JSON text a line ends in two characters, the second of which is a letter.
_LINE_END = r"\\[nrt]"
_BEGIN = rf"(?:(?<![^\W_])|(?<={_LINE_END}))"
_GAP = rf"(?:[\s/-]|{_LINE_END})?"
_SPACE = rf"(?:[\s-]|{_LINE_END})?"
_END = r"(?![^\W_])"
# All but the few numbers with letters or points in them have nine digits in a row, marks between them or not. Where
# there is nothing like the first pattern, which is cheap, there is nothing like the second.
_DIGITS = re.compile(r"[0-9][0-9\s/\\nrt-]{7,}[0-9]")
_SMALLEST_LONG_NUMBER, _LARGEST_LONG_NUMBER = 10**8, 10**19
_LONG_NUMBER = re.compile(rf"[0-9](?:{_GAP}[0-9]){{8,}}")
_IBAN_START = re.compile(rf"[A-Za-z]{{2}}[0-9OoIlSBZ]{{2}}(?={_SPACE}[A-Za-z0-9])")
_IBAN_BEFORE = re.compile(rf"(?:^|[\W_]|IBAN|{_LINE_END})$", re.IGNORECASE)
_IBAN_LENGTHS = (15, 34)
_IBAN_LABEL_DISTANCE = 24
# An IBAN may begin so far before its first long run of digits.
_IBAN_LOOK_BACK = 16

# Groups as printed on cards: of 16 digits, of 19, of American Express, of Diners Club; or none at all.
_CARD = re.compile(
    rf"{_BEGIN}(?<!\+)(?<![0-9][./-])(?:[0-9]{{4}}(?:{_SPACE}[0-9]{{4}}){{3}}(?:{_SPACE}[0-9]{{3}})?|[0-9]{{4}}{_SPACE}[0-9]{{6}}"
    rf"{_SPACE}[0-9]{{4,5}}|[0-9]{{13,19}}){_END}(?![.,][0-9]{{2}}(?![0-9]))"
)
# Issuer identification numbers with the lengths of their cards (ISO/IEC 7812): Visa, Mastercard, American Express,
# Diners Club, Discover, JCB, UnionPay, Maestro. Visa's old cards of 13 digits are left out: one in eleven of the
# invoice numbers that look like them has their check digit.
_ISSUERS = re.compile(
    r"4(?:[0-9]{15}|[0-9]{18})|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"
    r"|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12}"
    r"|35(?:2[89]|[3-8][0-9])[0-9]{12}|62[0-9]{14,17}|(?:50(?:18|20|38)|5893|6304|6759|676[1-3])[0-9]{9,15}"
)

# Numbers of persons whose printed form tells them: social security of the US, France and Switzerland, Italy's tax code.
_US_NUMBER = re.compile(rf"{_BEGIN}(?<!-)[0-9]{{3}}-[0-9]{{2}}-[0-9]{{4}}{_END}(?!-)")
_FRENCH_NUMBER = re.compile(
    rf"{_BEGIN}[12]{_SPACE}[0-9]{{2}}{_SPACE}[0-9]{{2}}{_SPACE}[0-9]{{2}}{_SPACE}[0-9]{{3}}{_SPACE}[0-9]{{3}}{_SPACE}"
    rf"[0-9]{{2}}{_END}"
)
_FRENCH_DIGITS = 15
_SWISS_NUMBER = re.compile(rf"{_BEGIN}756\.[0-9]{{4}}\.[0-9]{{4}}\.[0-9]{{2}}{_END}")
_ITALIAN_CODE = re.compile(rf"[A-Z]{{6}}[0-9]{{2}}[A-Z][0-9]{{2}}[A-Z][0-9]{{3}}[A-Z]{_END}")
_ITALIAN_LABELS = ("iscale", "ISCALE")
# The others are numbers like any: they count behind their name alone.
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
# Lookaheads have to see behind a run of digits.
_LOOK_AHEAD = 4
# Numbers behind their name that are looked for without it; a document has one or two.
_MAX_REPEATED = 50
_NO_CHARACTER = re.compile(rf"{_LINE_END}|[\W_]")
_CHARACTER = re.compile(rf"({_LINE_END})|[^\W_]")
# A bare number in JSON: its digits have to stay digits.
_BEFORE_JSON_NUMBER, _AFTER_JSON_NUMBER = re.compile(r'(?:"\s*:|[\[,])\s*$'), re.compile(r"\s*[,}\]]")


@dataclass(frozen=True)
class Finding:
    """Where personal data stands in a text; what it says is not kept, so that a report cannot leak it.

    Attributes:
        kind: what it is.
        start: of its first character.
        end: behind its last one.
    """

    kind: Kind
    start: int
    end: int


def find_personal(text: str, kinds: Collection[Kind] = PERSONAL_KINDS) -> tuple[Finding, ...]:
    """Find personal data in a text, which may be JSON, in the order of the text.

    - `iban`: right checksum and length of its country (ISO 13616), with or without blanks; behind the word IBAN also
      where OCR took digits for letters (O for 0).
    - `card`: right check digit (Luhn) and a known issuer's prefix, with blanks between a card's groups or without.
    - `tax_number`: numbers of persons. By their form: US SSN and ITIN (123-45-6789), French NIR, Swiss AHV number;
      Italian codice fiscale where the text names it. Behind their name alone: Steuernummer (Germany, Austria),
      Steuer-ID, BSN, PESEL, UTR, SSN without hyphens; the same number is then found wherever it stands.
    - `vat_id`: of the EU, with its country's prefix and the right checksum.
    """
    found: list[Finding] = []
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
    """Mask personal data in a text: each letter and digit becomes X, but for the country of an IBAN or a VAT id.

    Length, blanks and marks stay, so JSON stays JSON; there, the digits of a bare number become 9.

    Returns:
        The text and the kinds that were found, each once.
    """
    found = find_personal(text, kinds)
    parts: list[str] = []
    position = 0
    for finding in found:
        parts += text[position : finding.start], _masked(text, finding)
        position = finding.end
    return "".join((*parts, text[position:])), tuple(kind for kind in KINDS if any(part.kind == kind for part in found))


def mask_value(value: Any, kinds: Collection[Kind] = PERSONAL_KINDS) -> tuple[Any, tuple[Kind, ...]]:
    """Mask personal data in every string of a JSON value; a new value is given, the old one stays as it was.

    Strings are read one after the other, so an account number in several tokens is found, and so is a number whose name
    stands in the token before. Give what belongs together at once, `{"ocr": …, "answer": …}`: a number that only the
    request names is then masked in the answer as well. A whole number that is masked becomes a string. Keys are not
    read.

    Returns:
        The value and the kinds that were found, each once.
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
    """Every string and long whole number of a value in its order; depth costs no stack."""
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
    """The container and the key of each of them; all containers below the root become copies."""
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


def _masked(text: str, finding: Finding) -> str:
    part = text[finding.start : finding.end]
    bare = part.isdigit() and ('":' in text or "[" in text) and _AFTER_JSON_NUMBER.match(text, finding.end)
    if bare and _BEFORE_JSON_NUMBER.search(text[max(0, finding.start - 8) : finding.start]):
        return "9" * len(part)
    country = 2 if finding.kind in ("iban", "vat_id") else 0
    return part[:country] + _CHARACTER.sub(lambda found: found[1] or "X", part[country:])


def _add(found: list[Finding], kind: Kind, places: Iterable[tuple[int, int]]) -> None:
    """Add the places, each once, that no earlier finding has."""
    found.sort(key=lambda finding: finding.start)
    starts = [finding.start for finding in found]
    new: list[Finding] = []
    for start, end in sorted(set(places)):
        before = bisect_left(starts, end) - 1
        taken = (before >= 0 and found[before].end > start) or (new and new[-1].end > start)
        if not taken:
            new.append(Finding(kind, start, end))
    found += new


def _long_numbers(text: str) -> list[re.Match[str]]:
    found: list[re.Match[str]] = []
    for digits in _DIGITS.finditer(text):
        start, end = digits.span()
        # A date such as 2025-01-15 has eight digits: the most frequent of all, and quickly told.
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
    """Where a valid number ends that begins at `start`: at the end of a group, on the same line where it can."""
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
    # Article numbers may have as many digits as Diners Club's and Maestro's, and a check digit of another kind.
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
