"""Roles and aliases of guessed fields: each role has one field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from erniekit_adapter.documents.field_names import name_key
from erniekit_adapter.documents.fields import ROLES, Role
from erniekit_adapter.documents.guessing.kinds import FieldGuess
from erniekit_adapter.documents.guessing.words import ROLE_ALIASES, ROLE_EXCLUSIONS, ROLE_PATTERNS, YEAR_TO_DATE

_TABLE_ROLES: tuple[Role, ...] = ("description", "quantity", "unit_price", "line_total")
_KINDS: dict[Role, tuple[str, ...]] = {
    "issuer": ("text",),
    "number": ("identifier",),
    "total": ("amount",),
    "currency": ("currency",),
    "description": ("text",),
    "quantity": ("quantity",),
    "unit_price": ("amount",),
    "line_total": ("amount",),
}
_NAME_KEYS = ("name", "company", "firma", "nom", "nombre", "名称", "title")


def line_items_of(tables: Sequence[str], guesses: Iterable[FieldGuess]) -> str | None:
    """Return the table of line items: the one with most roles, then most values; None without tables."""
    fields = list(guesses)

    def weight(table: str) -> tuple[int, int]:
        columns = [field for field in fields if field.path.startswith(f"{table}[].")]
        hits = sum(any(_score(role, field) is not None for field in columns) for role in _TABLE_ROLES)
        return hits, sum(len(field.part.values) for field in columns)

    return max(tables, key=weight) if tables else None


def roles_of(guesses: Sequence[FieldGuess], line_items: str | None) -> dict[str, Role]:
    """Return the roles by path."""
    found: dict[str, Role] = {}
    for role in ROLES:
        best: tuple[tuple[int, int, int], str] | None = None
        for index, field in enumerate(guesses):
            in_items = line_items is not None and field.path.startswith(f"{line_items}[].")
            if (role in _TABLE_ROLES) != in_items or ("[]" in field.path) != in_items or field.path in found:
                continue
            score = _score(role, field)
            if score is not None and field.is_printed:
                # An earlier field wins a tie, except a total: sums come before it.
                place = (score, field.path.count("."), -index if role == "total" else index)
                if best is None or place < best[0]:
                    best = place, field.path
        if best is not None:
            found[best[1]] = role
    by_role = {role: path for path, role in found.items()}
    if "unit_price" in by_role and not {"line_total", "quantity"} & by_role.keys():
        found[by_role["unit_price"]] = "line_total"  # the only amount of a row
    elif "unit_price" in by_role and "line_total" not in by_role and "unit" not in by_role["unit_price"].casefold():
        amounts = [field for field in guesses if field.kind == "amount" and field.path.startswith(f"{line_items}[].")]
        if len(amounts) == 1:
            found[by_role["unit_price"]] = "line_total"
    return found


def _score(role: Role, field: FieldGuess) -> int | None:
    """Return how well a field fits a role, 0 best; None if it does not."""
    if field.kind not in _KINDS[role]:
        return None
    if role == "currency":
        return 0
    key = field.part.key
    *_, parent, last = ["", *field.path.replace("[]", "").split(".")]
    for rank, pattern in enumerate(ROLE_PATTERNS[role]):
        if role == "issuer" and last.casefold() in _NAME_KEYS and pattern.matches(parent):
            return None if ROLE_EXCLUSIONS[role].matches(parent) else rank
        # The surest names of a total contain words of other sums: total_price_and_tax.
        exclusions = YEAR_TO_DATE if role == "total" and rank == 0 else ROLE_EXCLUSIONS[role]
        if pattern.matches(key) and not exclusions.matches(key):
            return rank
    return None


def aliases_of(guesses: Sequence[FieldGuess], roles: dict[str, Role], language: str) -> dict[str, tuple[str, ...]]:
    """Return other names of the fields with a role; a name of another field of the same table is left out."""
    taken: dict[tuple[str | None, str], str] = {}
    for field in guesses:
        table = field.path.partition("[]")[0] if "[]" in field.path else None
        last = field.path.removesuffix("[]").rpartition(".")[2]
        taken.setdefault((table, name_key(last)), field.path)
        for parent in field.path.split(".")[:-1]:
            taken.setdefault((table, name_key(parent.removesuffix("[]"))), "")
    found: dict[str, tuple[str, ...]] = {}
    for path, role in roles.items():
        table = path.partition("[]")[0] if "[]" in path else None
        own = name_key(path.rpartition(".")[2])
        others = [(name, name_key(name)) for name in ROLE_ALIASES[language][role]]
        names = tuple(name for name, key in others if taken.setdefault((table, key), path) == path and key != own)
        if names:
            found[path] = names
    return found
