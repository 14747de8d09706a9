"""Search for sums and products that hold in the examples, and for the chance that they hold by accident."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import combinations, product
from math import comb

MAX_VARIABLES, MAX_TERMS = 16, 5
_RANK_OF_TOTALS, _MILLION_MILLIONTHS = 2, 10**12
_MIN_HELD_FOR_REFUSAL, _MAX_REFUSED_TERMS, _MAX_FAILED = 2, 3, 2
_ZERO = Decimal(0)


@dataclass(frozen=True)
class Variable:
    """An operand of a rule: a field, or the sum of a column.

    Attributes:
        text: the operand in an equation: `tax`, `sum(items[].total)`.
        title: the operand in a sentence.
        values: its value in each example or row; None if it is missing.
        rank: how well it can be the result of a sum: 2 a total, 1 a sum or difference, 0 a part of one.
        is_known: whether its name is that of a part or result of a sum.
        is_column: whether it is the sum of a column.
        is_partial: whether some rows have no value in that column, which count as 0.
        addends: in each example, the number of rows whose value in that column is not 0.
    """

    text: str
    title: str
    values: tuple[Decimal | None, ...]
    rank: int = 0
    is_known: bool = False
    is_column: bool = False
    is_partial: bool = False
    addends: tuple[int, ...] = ()


@dataclass(frozen=True)
class Relation:
    """An equation between variables that holds in the examples.

    Attributes:
        target: the left side.
        terms: (sign, variable) of the right side.
        optional: texts of terms that count as 0 if they are missing.
        held: indices of the examples in which it was checked.
        chance: the expected number of relations like this that hold by accident.
        contradicted: indices of examples in which it fails.
    """

    target: Variable
    terms: tuple[tuple[int, Variable], ...]
    optional: frozenset[str] = frozenset()
    held: tuple[int, ...] = ()
    chance: float = 0.0
    contradicted: tuple[int, ...] = ()

    @property
    def is_named(self) -> bool:
        """True if every name is that of a part or result of a sum."""
        return self.target.is_known and all(variable.is_known for _, variable in self.terms)

    @property
    def is_likely(self) -> bool:
        """True if chance does not explain it; names that fit make up for few examples."""
        limits = {2: 2.0, 3: 1.0, 4: 0.5}
        return self.chance < (limits.get(len(self.terms) + 1, 0.2) if self.is_named else 0.02)


@dataclass
class FoundSums:
    """Sums of two to five variables.

    Attributes:
        found: sums that hold in every example, none of which follows from those before it.
        doubtful: sums that hold, although that can be an accident.
        refused: sums that hold in some examples and fail in others.
    """

    found: list[Relation] = field(default_factory=list)
    doubtful: list[Relation] = field(default_factory=list)
    refused: list[Relation] = field(default_factory=list)


def find_sums(variables: Sequence[Variable]) -> FoundSums:
    """Return the sums between variables, simple ones first."""
    used = [variable for variable in variables if any(variable.values)][:MAX_VARIABLES]
    return _SumSearch(used, unit_of(used)).run()


@dataclass
class _SumSearch:
    variables: Sequence[Variable]
    unit: int
    sums: FoundSums = field(default_factory=FoundSums)

    def run(self) -> FoundSums:
        basis: list[dict[str, Decimal]] = []
        for size in range(2, min(MAX_TERMS, len(self.variables)) + 1):
            for relation in self.of_size(size):
                reduced = _reduced(_coefficients(relation), basis)
                if reduced and relation.is_likely:
                    basis.append(reduced)
                    self.sums.found.append(relation)
                elif reduced and relation.is_named:
                    self.sums.doubtful.append(relation)
        doubtful = self.sums.doubtful
        self.sums.doubtful = [relation for relation in doubtful if _reduced(_coefficients(relation), basis)]
        return self.sums

    def of_size(self, size: int) -> list[Relation]:
        """Return the relations between this many variables that hold."""
        tried = comb(len(self.variables), size) * 2 ** (size - 1)
        relations = []
        for chosen in combinations(self.variables, size):
            columns = sum(variable.is_column for variable in chosen)
            # Equal fields need no rule, and equal columns no sum.
            if columns == size or (size == 2 and not columns):
                continue
            for signs in product((1, -1), repeat=size - 1):
                if relation := self.checked(chosen, (1, *signs), tried):
                    relations.append(relation)
        return sorted(relations, key=_order)

    def checked(self, chosen: Sequence[Variable], signs: Sequence[int], tried: int) -> Relation | None:
        """Return the relation with these signs if it holds in every example that has its values."""
        facts = _Facts(chosen, signs)
        if not facts.are_enough():
            return None
        place = _target(chosen, signs, facts.optional)
        if place is None:
            return None
        others = [other for other in range(len(chosen)) if other != place]
        terms = [(-signs[place] * signs[other], chosen[other]) for other in others]
        relation = Relation(
            chosen[place],
            tuple(sorted(terms, key=lambda term: -term[0])),
            frozenset(facts.optional),
            tuple(facts.held),
            tried * chance_of(facts.values, self.unit),
            tuple(facts.failed),
        )
        if not facts.failed:
            return relation
        if len(facts.held) >= _MIN_HELD_FOR_REFUSAL and relation.is_named and len(chosen) <= _MAX_REFUSED_TERMS:
            self.sums.refused.append(relation)
        return None


def _order(relation: Relation) -> tuple[int, int, float]:
    columns = sum(variable.is_column for _, variable in relation.terms)
    minus = sum(sign < 0 for sign, _ in relation.terms)
    return -relation.is_named, 2 * columns + minus - relation.target.rank, relation.chance


class _Facts:
    """The examples in which a signed sum of variables is zero, and those in which it is not."""

    def __init__(self, chosen: Sequence[Variable], signs: Sequence[int]) -> None:
        self.held: list[int] = []
        self.failed: list[int] = []
        self.optional: set[str] = set()
        self.values: set[tuple[Decimal, ...]] = set()
        self._chosen = chosen
        self._seen: set[int] = set()
        for index, row in enumerate(zip(*(variable.values for variable in chosen), strict=True)):
            self._add(index, row, sum((sign * value for sign, value in zip(signs, row, strict=True) if value), _ZERO))
            if len(self.failed) > _MAX_FAILED and len(self.failed) * 3 > len(self.held):
                break

    def _add(self, index: int, row: Sequence[Decimal | None], total: Decimal) -> None:
        if total and all(value is not None for value in row):
            self.failed.append(index)
        elif not total and sum(bool(value) for value in row) >= 2:
            self.held.append(index)
            self.optional |= {self._chosen[place].text for place, value in enumerate(row) if value is None}
            # A field that equals a column with one value shows no sum.
            self._seen |= {place for place, value in enumerate(row) if value and self._is_sum(place, index)}
            self.values.add(tuple(value or _ZERO for value in row))

    def _is_sum(self, place: int, index: int) -> bool:
        variable = self._chosen[place]
        return len(self._chosen) > 2 or not variable.is_column or variable.addends[index] > 1

    def are_enough(self) -> bool:
        """Return whether every variable is other than zero in an example, and most examples agree."""
        is_refused = len(self.failed) > _MAX_FAILED and len(self.failed) * 3 > len(self.held)
        return bool(self.held) and len(self._seen) == len(self._chosen) and not is_refused


def _target(chosen: Sequence[Variable], signs: Sequence[int], optional: set[str]) -> int | None:
    """Return the place of the left side: a total, with as many plus signs on the right as possible."""
    places = [
        place for place, variable in enumerate(chosen) if not variable.is_column and variable.text not in optional
    ]
    if not places:
        return None
    return max(places, key=lambda place: _fit(place, chosen, signs))


def _fit(place: int, chosen: Sequence[Variable], signs: Sequence[int]) -> tuple[bool, int, int]:
    plus = sum(signs[other] != signs[place] for other in range(len(signs)) if other != place)
    return chosen[place].rank >= _RANK_OF_TOTALS, plus, chosen[place].rank


def unit_of(variables: Iterable[Variable]) -> int:
    """Return the largest power of ten, in millionths, that divides every value."""
    whole = [int(value.scaleb(6)) for variable in variables for value in variable.values if value]
    unit = 1
    while whole and unit < _MILLION_MILLIONTHS and all(value % (10 * unit) == 0 for value in whole):
        unit *= 10
    return unit


def chance_of(facts: Iterable[tuple[Decimal, ...]], unit: int) -> float:
    """Return the probability that one relation holds by accident in examples with these values."""
    chance = 1.0
    for values in facts:
        largest = max((abs(int(value.scaleb(6))) for value in values if value), default=0)
        chance /= max(2, largest // unit)
    return chance


def _coefficients(relation: Relation) -> dict[str, Decimal]:
    row = {variable.text: Decimal(-sign) for sign, variable in relation.terms}
    return row | {relation.target.text: Decimal(1)}


def _reduced(row: dict[str, Decimal], basis: Sequence[dict[str, Decimal]]) -> dict[str, Decimal]:
    """Return a row without the parts that follow from the basis; empty if all of it follows."""
    left = dict(row)
    for known in basis:
        lead = next(iter(known))
        if factor := left.get(lead):
            for name, value in known.items():
                left[name] = left.get(name, Decimal(0)) - factor * value
    left = {name: value for name, value in left.items() if abs(value) > Decimal("1e-9")}
    if not left:
        return {}
    scale = next(iter(left.values()))
    return {name: value / scale for name, value in left.items()}
