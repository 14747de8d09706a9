"""Rules proposed for a document type: each holds in every example that has its values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from erniekit_adapter.documents.fields import NUMBER_KINDS, Role
from erniekit_adapter.documents.guessing.kinds import FieldGuess
from erniekit_adapter.documents.guessing.products import ProductRelation, find_products
from erniekit_adapter.documents.guessing.sentences import Sentences
from erniekit_adapter.documents.guessing.shape import Note
from erniekit_adapter.documents.guessing.sums import Relation, Variable, find_sums
from erniekit_adapter.documents.guessing.words import DATE_RANKS, ROLE_PATTERNS, RUNNING, SUMMED
from erniekit_adapter.documents.rules.context import number_of, rows_at, value_at

MAX_SEARCHED, MAX_SEARCHED_ROWS = 200, 100
_PLAIN_PATH = re.compile(r"[^\s`+*()=?,−0-9-][^\s`+*()=?,−-]*")
_CAPITAL_NUMBERS = re.compile("[壹贰叁肆伍陆柒捌玖拾佰仟零]{2,}")
_DATE_PAIRS = ((0, 1), (2, 3), (3, 4), (2, 4))
_MIN_HELD_FOR_ERROR, _MAX_DOUBTFUL = 3, 2


@dataclass(frozen=True)
class RuleProposal:
    """A proposed rule.

    Attributes:
        section: its keys in `document_type.yaml`.
        evidence: how many examples or rows it was checked in.
    """

    section: dict[str, Any]
    evidence: str


@dataclass
class RuleSearch:
    """Search for rules in the written examples.

    Attributes:
        guesses: the fields by path.
        roles: the roles by path.
        tables: paths of the tables.
        contents: the contents of the examples in the notation of the type.
        sentences: the sentences of the rules.
        proposals: the rules that were found.
        notes: rules that an example contradicts.
    """

    guesses: Mapping[str, FieldGuess]
    roles: Mapping[str, Role]
    tables: Sequence[str]
    contents: Sequence[dict[str, Any]]
    sentences: Sentences
    proposals: list[RuleProposal] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    def run(self) -> None:
        """Find the rules: sums, products, rows of tables, dates, checksums."""
        if len(self.contents) > MAX_SEARCHED:
            self.contents = self.contents[:MAX_SEARCHED]
            self.notes.append(Note("", f"rules were searched for in the first {MAX_SEARCHED} examples, tested on all"))
        scalars = [self._scalar(guess) for guess in self._numbers(None)]
        for kind in ("amount", "quantity"):
            self._sums(kind)
        self._products(scalars, None)
        for table in self.tables:
            columns = self._columns(table)
            self._products(columns, table)
            for kind in ("amount", "quantity"):
                for relation in find_sums([variable for variable, each, _ in columns if each == kind]).found:
                    self._add_sum(relation, table)
        self._dates()
        self._checksums()
        self._capital_amounts()

    def _numbers(self, table: str | None) -> list[FieldGuess]:
        prefix = f"{table}[]." if table else ""
        return [
            guess
            for path, guess in self.guesses.items()
            if guess.kind in NUMBER_KINDS and guess.is_printed and path.startswith(prefix)
            and ("[]" in path) == bool(table) and not any(mark in path for mark in "=`")
        ]  # fmt: skip

    def _scalar(self, guess: FieldGuess) -> tuple[Variable, str, bool]:
        values = tuple(number_of(value_at(content, guess.path)) for content in self.contents)
        return self._variable(guess, values), guess.kind, guess.is_percent

    def _variable(self, guess: FieldGuess, values: tuple[Decimal | None, ...]) -> Variable:
        key = guess.part.key
        patterns = ROLE_PATTERNS["total"]
        role = self.roles.get(guess.path)
        is_total = role == "total" or any(pattern.matches(key) for pattern in patterns[:-1])
        is_sum = patterns[-1].matches(key) or SUMMED.matches(key)
        rank = (
            3 if role == "total" else 2 if is_total else 1 if patterns[-1].matches(key) or "sub" in key.lower() else 0
        )
        return Variable(_quoted(guess.path), self.sentences.title(guess.path), values, rank, is_total or is_sum)

    def _columns(self, table: str) -> list[tuple[Variable, str, bool]]:
        rows = [row for content in self.contents for row in rows_at(content, table)][:MAX_SEARCHED_ROWS]
        found: list[tuple[Variable, str, bool]] = []
        for guess in self._numbers(table):
            name = guess.path.partition("[].")[2]
            values = tuple(number_of(value_at(row, name)) for row in rows)
            found.append((self._variable(guess, values), guess.kind, guess.is_percent))
        return found

    def _sums(self, kind: str) -> None:
        variables = [self._scalar(guess)[0] for guess in self._numbers(None) if guess.kind == kind]
        variables = self._without_equals(variables)
        for table in self.tables:
            for guess in self._numbers(table):
                if guess.kind == kind and not RUNNING.matches(guess.part.key):
                    variables.append(self._column_sum(table, guess))
        sums = find_sums(variables)
        for relation in sums.found:
            self._add_sum(relation, None)
        targets = {relation.target.text for relation in sums.found}
        for relation in sums.doubtful[:_MAX_DOUBTFUL]:
            text = "not proposed, although it holds: with few examples it can be an accident"
            self.notes.append(Note(self._sum_text(relation), text))
        for relation in sums.refused:
            if relation.target.text not in targets:
                self._refuse(self._sum_text(relation), relation.held, relation.contradicted, "examples")

    def _column_sum(self, table: str, guess: FieldGuess) -> Variable:
        name = guess.path.partition("[].")[2]
        sums: list[Decimal | None] = []
        addends: list[int] = []
        is_partial = False
        for content in self.contents:
            values = [number_of(value_at(row, name)) for row in rows_at(content, table)]
            known = [value for value in values if value is not None]
            sums.append(sum(known, Decimal(0)) if known else None)
            addends.append(sum(bool(value) for value in known))
            is_partial = is_partial or len(known) < len(values)
        is_known = self.roles.get(guess.path) in ("line_total", "quantity") or SUMMED.matches(guess.part.key)
        title = self.sentences.column(table, guess.path)
        is_known = is_known and self.roles.get(guess.path) != "unit_price"
        return Variable(
            f"sum({_quoted(guess.path)})", title, tuple(sums), 0, is_known, True, is_partial, tuple(addends)
        )

    def _without_equals(self, variables: list[Variable]) -> list[Variable]:
        """Leave out fields that equal another one in every example: no sum can show which of them is meant."""
        kept: list[Variable] = []
        for variable in sorted(variables, key=lambda each: -each.rank):
            same = next((other for other in kept if other.values == variable.values and any(variable.values)), None)
            if same is None:
                kept.append(variable)
            else:
                text = f"equals {same.text} in every example, so no sum with it is proposed"
                self.notes.append(Note(variable.text, text))
        return sorted(kept, key=variables.index)

    def _products(self, numbers: list[tuple[Variable, str, bool]], table: str | None) -> None:
        found, refused = find_products(numbers)
        for relation in found:
            text = _product_text(relation)
            sentence = self.sentences.product(relation, table)
            self._add(relation.target, {"equation": text, "tolerance": 1}, sentence, relation.held, table)
        for relation in refused:
            places = "rows" if table else "examples"
            self._refuse(_product_text(relation), relation.held, relation.contradicted, places)

    def _refuse(self, text: str, held: Sequence[int], failed: Sequence[int], places: str) -> None:
        if not failed:
            return
        first = f"example {failed[0] + 1}" if places == "examples" else f"row {failed[0] + 1} of all rows"
        count = len(held) + len(failed)
        found = f"not proposed, although it holds in {len(held)} of {count} {places}: {first} contradicts it"
        self.notes.append(Note(text, found))

    def _sum_text(self, relation: Relation) -> str:
        parts = []
        for sign, variable in relation.terms:
            mark = "?" if variable.is_partial or variable.text in relation.optional else ""
            parts.append(f"{'+' if sign > 0 else '-'} {variable.text}{mark}")
        return f"{relation.target.text} = {' '.join(parts).removeprefix('+ ')}"

    def _add_sum(self, relation: Relation, table: str | None) -> None:
        sentence = self.sentences.sum(relation, table)
        section = {"equation": self._sum_text(relation)}
        if not relation.is_named and len(relation.held) < _MIN_HELD_FOR_ERROR:
            section["severity"] = "warn"
        self._add(relation.target, section, sentence, relation.held, table)

    def _add(
        self, target: Variable, section: dict[str, Any], sentence: str, held: Sequence[int], table: str | None
    ) -> None:
        path = target.text.strip("`")
        if self.roles.get(path) == "total" and section.get("severity", "error") == "error":
            section["decisive"] = True
        rows = sum(len(rows_at(content, table)) for content in self.contents) if table else 0
        count = min(rows, MAX_SEARCHED_ROWS) if table else len(self.contents)
        evidence = f"holds in {len(held)} of {_counted(count, 'row' if table else 'example')}"
        self._propose(path, section, sentence, evidence)

    def _propose(self, path: str, section: dict[str, Any], sentence: str, evidence: str) -> None:
        names = {proposal.section["name"] for proposal in self.proposals}
        base = re.sub(r"[^\w]+", "-", path.replace("_", "-")).strip("-").upper()[:50] or "RULE"
        name, number = base, 2
        while name in names:
            name, number = f"{base}-{number}", number + 1
        self.proposals.append(RuleProposal({"name": name, "sentence": sentence[:300], **section}, evidence))

    def _dates(self) -> None:
        ranked: dict[int, list[str]] = {}
        for path, guess in self.guesses.items():
            if guess.kind == "date" and "[]" not in path and guess.is_printed:
                ranks = [rank for rank, pattern in DATE_RANKS if pattern.matches(guess.part.key)]
                # `period_start_date` is a start although it has the word date.
                rank = next((rank for rank in ranks if rank != 3), ranks[0] if ranks else None)
                if rank is not None:
                    ranked.setdefault(rank, []).append(path)
        for low, high in _DATE_PAIRS:
            if (low, high) == (2, 4) and ranked.get(3):
                continue
            for early in ranked.get(low, [])[:2]:
                for late in ranked.get(high, [])[:2]:
                    self._order(early, late)

    def _order(self, early: str, late: str) -> None:
        pairs = [(value_at(content, early), value_at(content, late)) for content in self.contents]
        known = [index for index, (first, second) in enumerate(pairs) if first and second]
        wrong = [index for index in known if pairs[index][0] > pairs[index][1]]
        if wrong:
            held = [index for index in known if index not in wrong]
            self._refuse(f"{early} before {late}", held, wrong, "examples")
        elif any(pairs[index][0] < pairs[index][1] for index in known):
            evidence = f"holds in {len(known)} of {_counted(len(self.contents), 'example')}"
            self._propose(late, {"order": [early, late]}, self.sentences.order(early, late), evidence)

    def _checksums(self) -> None:
        for path, guess in self.guesses.items():
            if guess.checksum is not None and guess.is_printed:
                evidence = f"holds for {_counted(len(guess.part.values), 'value')}"
                section = {"field": path, "checksum": guess.checksum}
                self._propose(path, section, self.sentences.checksum(path, guess.checksum), evidence)

    def _capital_amounts(self) -> None:
        """Propose that an amount in capital letters equals an amount; the rule itself decides which one."""
        for path, guess in self.guesses.items():
            texts = [value for _, value in guess.part.values if isinstance(value, str)]
            if "[]" in path or not texts or not all(map(_CAPITAL_NUMBERS.search, texts)):
                continue
            total = next((each for each, role in self.roles.items() if role == "total"), None)
            if total is not None:
                section = {"field": total, "chinese_amount": path}
                evidence = f"holds in {len(texts)} of {_counted(len(self.contents), 'example')}"
                self._propose(path, section, self.sentences.capital(path, total), evidence)


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _quoted(path: str) -> str:
    return path if _PLAIN_PATH.fullmatch(path) else f"`{path}`"


def _product_text(relation: ProductRelation) -> str:
    less = f" - {relation.less.text}?" if relation.less else ""
    return f"{relation.target.text} = {relation.first.text} * {relation.second.text}{less}"
