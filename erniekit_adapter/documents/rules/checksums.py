"""Rule kind `checksum`: numbers with check digits, by the names of python-stdnum, and the numbers of a fapiao."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import stdnum
from stdnum.cn import ric, uscc
from stdnum.exceptions import InvalidChecksum, InvalidFormat, InvalidLength, ValidationError
from stdnum.util import get_cc_module

MAX_NUMBER_CHARACTERS = 100
# Modules of python-stdnum that are not formats.
_NOT_FORMATS = frozenset({"exceptions", "util", "numdb", "iso7064"})
# 发票号码: 8 digits, after the 发票代码 of 10 or 12 digits if the page has it, or 20 digits for a digital fapiao.
_FAPIAO = re.compile(r"(?:[0-9]{10}(?:[0-9]{2})?[ -]?)?[0-9]{8}|[0-9]{20}")
_TAXPAYER = re.compile(r"[0-9A-Z]{15}(?:[0-9A-Z]{2,3}|[0-9A-Z]{5})?")
_MASK = re.compile(r"[*•●·…#＊■█]|[Xx]{3}")
_REASONS: tuple[tuple[type[ValidationError], str], ...] = (
    (InvalidChecksum, "has a wrong check digit"),
    (InvalidLength, "has a wrong length"),
    (InvalidFormat, "has a wrong form"),
)

NumberProblem = Callable[[str], str | None]


def _fapiao_problem(number: str) -> str | None:
    return None if _FAPIAO.fullmatch(number) else "is not 8 digits, 12 and 8 digits, or 20 digits"


def _taxpayer_problem(number: str) -> str | None:
    """Return why a text is no 纳税人识别号: 18 characters for companies since 2015 and persons, 15 to 20 in older ones.

    Only the numbers of 18 characters have a check digit: that of the 统一社会信用代码, or of an identity card.
    """
    if not _TAXPAYER.fullmatch(number):
        return "is not 15 to 20 letters and digits"
    if len(number) == 18 and not (uscc.is_valid(number) or ric.is_valid(number)):
        return "has a wrong check digit"
    return None


_OWN: Mapping[str, NumberProblem] = {"fapiao": _fapiao_problem, "cn.taxpayer": _taxpayer_problem}


def is_masked(number: str) -> bool:
    """Return whether a page hides a part of a number, so that its check digits cannot be computed."""
    return len(number) <= MAX_NUMBER_CHARACTERS and _MASK.search(number) is not None


@cache
def checksum_formats() -> Mapping[str, tuple[str, str]]:
    """Return the names of python-stdnum's formats → country and name of the module: `eu.vat` → (`eu`, `vat`).

    The list comes from the files of the package, so that a name in a file of a team never imports another module.
    """
    root = Path(stdnum.__file__).parent
    found: dict[str, tuple[str, str]] = {}
    for module in pkgutil.iter_modules([str(root)]):
        if module.name in _NOT_FORMATS:
            continue
        if not module.ispkg:
            found[module.name] = ("", module.name)
            continue
        country = module.name.rstrip("_")
        # The VAT number of every country can have another name there: nif, tva, partita IVA.
        found[f"{country}.vat"] = (country, "vat")
        for inner in pkgutil.iter_modules([str(root / module.name)]):
            found[f"{country}.{inner.name.rstrip('_')}"] = (country, inner.name)
    return found


def checksum_problem(name: str) -> NumberProblem:
    """Return a function that returns the reason why a number is wrong, or None.

    Raises:
        ValueError: no such format; with a hint.
    """
    if name in _OWN:
        return _OWN[name]
    module = _module(name)
    if module is None or not callable(getattr(module, "validate", None)):
        known = (*_OWN, *checksum_formats())
        near = difflib.get_close_matches(name, known, n=5, cutoff=0.5)
        hint = (
            f"did you mean {', '.join(near)}?" if near else "use a name such as eu.vat, iban, cn.uscc, es.nif, fapiao"
        )
        raise ValueError(f"python-stdnum has no format {name[:60]!r}", hint)

    def problem(number: str) -> str | None:
        try:
            module.validate(number)
        except ValidationError as error:
            return next((reason for kind, reason in _REASONS if isinstance(error, kind)), "is not a valid number")
        except Exception:
            # Some modules fail on text that is far from a number.
            return "is not a valid number"
        return None

    return problem


def _module(name: str) -> Any:
    """Return the module of a format in the list; None for other names."""
    if name not in checksum_formats():
        return None
    country, inner = checksum_formats()[name]
    if inner == "vat":
        return get_cc_module(country, inner)
    package = f"stdnum.{country}_" if country in ("in", "is") else f"stdnum.{country}" if country else "stdnum"
    return importlib.import_module(f"{package}.{inner}")
