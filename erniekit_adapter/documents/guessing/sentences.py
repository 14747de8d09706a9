"""Sentences of proposed rules, for a person who reads a report; in English or Chinese."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from erniekit_adapter.documents.guessing.products import ProductRelation
from erniekit_adapter.documents.guessing.sums import Relation
from erniekit_adapter.documents.guessing.words import title_of

# Keys that mean something only with the key of their object: period.from.
_UNCLEAR_KEYS = frozenset(
    {"from", "to", "start", "end", "von", "bis", "debut", "fin", "desde", "hasta", "date", "number", "name", "amount"}
)


class Sentences:
    """Writes the sentences of the rules of one document type."""

    def __init__(self, language: str, paths: Iterable[str]) -> None:
        self._is_chinese = language == "zh"
        self._last_keys = Counter(_keys(path)[-1] for path in paths if "[]" not in path)

    def title(self, path: str) -> str:
        """Return the title of a field, with its parent if another field has the same key."""
        keys = _keys(path)
        is_repeated = "[]" not in path and (self._last_keys[keys[-1]] > 1 or keys[-1].casefold() in _UNCLEAR_KEYS)
        keys = keys[-2:] if is_repeated else keys[-1:]
        titles = [title_of(key) for key in keys]
        return "的".join(titles) if self._is_chinese else " ".join([titles[0], *map(_lower, titles[1:])])

    def column(self, table: str, path: str) -> str:
        """Return the sum of a column in words."""
        rows, column = title_of(_keys(table)[-1]), title_of(_keys(path)[-1])
        return f"{rows}中{column}之和" if self._is_chinese else f"the sum of {_lower(column)} in {_lower(rows)}"

    def sum(self, relation: Relation, table: str | None) -> str:
        """Return the sentence of a sum."""
        target = relation.target.title
        if self._is_chinese:
            text = "".join(f"{'加' if sign > 0 else '减'}{variable.title}" for sign, variable in relation.terms)
            return self._in_rows(f"{target}等于{text.removeprefix('加')}", table)
        text = " ".join(
            f"{'plus' if sign > 0 else 'minus'} {_lower(variable.title)}" for sign, variable in relation.terms
        )
        return self._in_rows(f"{target} is {text.removeprefix('plus ')}", table)

    def product(self, relation: ProductRelation, table: str | None) -> str:
        """Return the sentence of a product."""
        target, first, second = relation.target.title, relation.first.title, relation.second.title
        if self._is_chinese:
            less = f"减{relation.less.title}" if relation.less else ""
            return self._in_rows(f"{target}等于{first}乘以{second}{less}", table)
        less = f" minus {_lower(relation.less.title)}" if relation.less else ""
        return self._in_rows(f"{target} is {_lower(first)} times {_lower(second)}{less}", table)

    def _in_rows(self, sentence: str, table: str | None) -> str:
        if self._is_chinese:
            return f"{title_of(_keys(table)[-1])}每一行中，{sentence}。" if table else f"{sentence}。"
        if table is None:
            return f"{sentence}."
        return f"In each row of {_lower(title_of(_keys(table)[-1]))}, {_lower(sentence)}."

    def order(self, early: str, late: str) -> str:
        """Return the sentence of an order of dates."""
        first, second = self.title(early), self.title(late)
        return f"{second}不早于{first}。" if self._is_chinese else f"{second} is not before {_lower(first)}."

    def checksum(self, path: str, name: str) -> str:
        """Return the sentence of a checksum."""
        title = self.title(path)
        return f"{title}的校验位正确（{name}）。" if self._is_chinese else f"{title} has a correct checksum ({name})."

    def capital(self, path: str, amount: str) -> str:
        """Return the sentence of an amount in capital letters."""
        first, second = self.title(path), self.title(amount)
        return f"{first}等于{second}。" if self._is_chinese else f"{first} is {_lower(second)} in letters."


def _keys(path: str) -> list[str]:
    return path.replace("[]", "").split(".")


def _lower(title: str) -> str:
    """Return a title inside of a sentence; abbreviations keep their capital letters."""
    is_abbreviation = len(title) > 1 and title[:2].isupper()
    return title if is_abbreviation else f"{title[:1].lower()}{title[1:]}"
