"""Search for products that hold in the examples: quantity times price, net times rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import combinations

from erniekit_adapter.documents.guessing.sums import MAX_VARIABLES, Variable

_CENT = Decimal("0.01")
_PERCENT = Decimal("0.01")
_MIN_HELD_FOR_REFUSAL, _MAX_FAILED = 2, 3


@dataclass(frozen=True)
class ProductRelation:
    """A product that holds in the examples, `target = first * second - less`.

    Attributes:
        target: the left side.
        first: a factor.
        second: a factor; a rate if `is_percent`.
        less: a subtracted term, which counts as 0 if it is missing; None without one.
        is_percent: whether the second factor is a rate such as 19 for 19 %.
        held: indices of the examples or rows in which it was checked.
        contradicted: indices of those in which it fails.
        chance: the expected number of products that hold by accident.
    """

    target: Variable
    first: Variable
    second: Variable
    less: Variable | None
    is_percent: bool
    held: tuple[int, ...]
    contradicted: tuple[int, ...]
    chance: float


def find_products(
    numbers: Sequence[tuple[Variable, str, bool]],
) -> tuple[list[ProductRelation], list[ProductRelation]]:
    """Return one product for each amount that has one, and products that an example contradicts.

    Args:
        numbers: variables with their kind, and whether a rate is in percent.
    """
    numbers = numbers[:MAX_VARIABLES]
    amounts = [variable for variable, kind, _ in numbers if kind == "amount"]
    found: list[ProductRelation] = []
    refused: list[ProductRelation] = []
    for target in amounts:
        tried = []
        for pair in combinations(numbers, 2):
            factors = _factors(pair, target)
            if factors is None:
                continue
            first, second, is_percent = factors
            others = [variable for variable in amounts if variable not in (target, first, second)]
            plain = _checked(target, first, second, None, is_percent)
            discounted = (_checked(target, first, second, other, is_percent) for other in others)
            tried += [relation for relation in (plain, *discounted) if relation is not None]
        good = [relation for relation in tried if not relation.contradicted and relation.chance * len(tried) < 1]
        if good:
            found.append(min(good, key=lambda relation: (relation.less is not None, relation.chance)))
        elif plain_ones := [relation for relation in tried if relation.less is None]:
            best = max(plain_ones, key=lambda relation: len(relation.held))
            if len(best.held) >= _MIN_HELD_FOR_REFUSAL and len(best.held) > len(best.contradicted):
                refused.append(best)
    return found, refused


def _factors(pair: tuple[tuple[Variable, str, bool], ...], target: Variable) -> tuple[Variable, Variable, bool] | None:
    """Return the factors of a plausible product: quantity and price, or amount and rate."""
    by_kind = {kind: (variable, is_percent) for variable, kind, is_percent in pair}
    if len(by_kind) != 2 or "amount" not in by_kind or by_kind["amount"][0] is target:
        return None
    if "quantity" in by_kind:
        return by_kind["quantity"][0], by_kind["amount"][0], False
    return (by_kind["amount"][0], *by_kind["rate"]) if "rate" in by_kind else None


def _checked(
    target: Variable, first: Variable, second: Variable, less: Variable | None, is_percent: bool
) -> ProductRelation | None:
    held: list[int] = []
    failed: list[int] = []
    chance, is_useful = 1.0, False
    facts: set[tuple[Decimal, ...]] = set()
    for index, (result, one, two) in enumerate(zip(target.values, first.values, second.values, strict=True)):
        if result is None or one is None or two is None:
            continue
        minus = (less.values[index] if less else None) or Decimal(0)
        expected = one * two * (_PERCENT if is_percent else 1) - minus
        if abs(expected - result) > _CENT:
            failed.append(index)
            if len(failed) > _MAX_FAILED and len(failed) > len(held):
                return None
            continue
        held.append(index)
        is_useful = is_useful or bool(minus)
        if result and one not in (0, 1) and two not in (0, 1) and (result, one, two) not in facts:
            facts.add((result, one, two))
            chance /= max(2, int(abs(result) / _CENT / 3))
    if not facts or (less is not None and not is_useful):
        return None
    return ProductRelation(target, first, second, less, is_percent, tuple(held), tuple(failed), chance)
