"""Questions about a document and their answers, under many names: none of them is the canonical answer."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

# Names that a field goes by: as a key, or with spaces in a question. Those of the canonical blocks are not among them.
FIELD_NAMES = {
    "seller": ("seller", "supplier", "vendor", "issuer", "sold_by", "vendor_name", "company", "from"),
    "seller_place": ("seller_address", "supplier_address", "vendor_address", "address_of_vendor", "from_where"),
    "seller_phone": ("phone", "telephone", "vendor_phone", "call"),
    "seller_mail": ("email", "mail", "vendor_email", "write_to"),
    "buyer": ("buyer", "customer", "client", "client_name", "billed_to", "recipient", "to"),
    "buyer_place": ("buyer_address", "customer_address", "client_address", "address_of_client", "to_where"),
    "number": ("number", "invoice_no", "document_number", "reference", "id", "invoice"),
    "issued": ("issued", "date", "date_of_invoice", "issue_date", "day", "written_on"),
    "due": ("due", "due_date", "pay_until", "deadline", "last_day"),
    "currency": ("currency", "money", "coin", "currency_code"),
    "subtotal": ("subtotal", "net", "before_tax", "sum_of_lines", "net_amount"),
    "rate": ("rate", "tax_rate", "vat_rate", "tax_share"),
    "tax": ("tax", "tax_amount", "vat", "taxes_due"),
    "discount": ("discount", "rebate", "reduction", "less"),
    "total": ("total", "to_pay", "total_amount", "payable", "end_sum", "amount_due"),
    "terms": ("terms", "conditions", "when_to_pay", "notes", "payment"),
}
ROW_NAMES = {
    "text": ("item", "article", "what", "product", "label"),
    "count": ("count", "units", "qty", "pieces"),
    "price": ("each", "price", "per_unit", "cost"),
    "sum": ("sum", "amount", "net", "value"),
}
_NUMBERS = {"subtotal", "rate", "tax", "discount", "total", "count", "price", "sum"}
_ROW_QUESTIONS = {
    "text": ("What is item {n}?", "Name item {n}.", "item {n}"),
    "count": ("How many of item {n}?", "Quantity of item {n}?", "How many {text}?", "Units of {text}?"),
    "price": ("Price of item {n}?", "What does one of item {n} cost?", "Price of {text}?"),
    "sum": ("Amount of item {n}?", "What does item {n} come to?", "Amount of {text}?"),
}
_FIELD_QUESTIONS = (
    "What is the {name}?",
    "{name}?",
    "Give the {name}.",
    "Tell me the {name}.",
    "{name}",
    "Find {name}.",
)
_LIST_QUESTIONS = ("List {names}.", "Write down {names}.", "Give {names}, one per line.", "{names}")
_JSON_QUESTIONS = ("Give JSON with {names}.", "JSON: {names}", "Answer with an object of {names}.", "As JSON, {names}.")
_ROW_LIST_QUESTIONS = ("All items as JSON with {names}.", "Rows: {names}", "List every line as {names}.")


@dataclass(frozen=True)
class Document:
    """A page and what stands on it.

    Attributes:
        lines: the page's text.
        fields: value of each field, a key of FIELD_NAMES, as answers write it; what is not on the page is not here.
        rows: the invoice lines, each with the keys of ROW_NAMES.
    """

    lines: tuple[str, ...]
    fields: dict[str, str]
    rows: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class Turn:
    """A question and its answer; `kind` is the task's name."""

    question: str
    answer: str
    kind: str


def turn(rng: random.Random, document: Document) -> Turn:
    """A random task about a document."""
    make = rng.choices(list(_TASKS), weights=list(_TASKS.values()))[0]
    return make(rng, document)


def field_turn(rng: random.Random, document: Document) -> Turn:
    """One field, asked for under one of its names."""
    field = rng.choice(list(document.fields))
    name = rng.choice(FIELD_NAMES[field]).replace("_", " ")
    return Turn(rng.choice(_FIELD_QUESTIONS).format(name=name), document.fields[field], "field")


def row_turn(rng: random.Random, document: Document) -> Turn:
    """One cell of one invoice line, which is asked for by its place or its text."""
    place = rng.randrange(len(document.rows))
    row, cell = document.rows[place], rng.choice(list(ROW_NAMES))
    question = rng.choice(_ROW_QUESTIONS[cell]).format(n=place + 1, text=row["text"])
    return Turn(question, row[cell], "cell")


def list_turn(rng: random.Random, document: Document) -> Turn:
    """Some fields as lines of name and value."""
    chosen = _some_fields(rng, document)
    between = rng.choice((": ", " = ", " - "))
    answer = "\n".join(f"{name}{between}{document.fields[field]}" for field, name in chosen)
    return Turn(_asked(rng, _LIST_QUESTIONS, [name for _, name in chosen]), answer, "list")


def object_turn(rng: random.Random, document: Document) -> Turn:
    """Some fields as one flat JSON object."""
    chosen = _some_fields(rng, document)
    pairs = (f"{_quoted(name)}:{_json_value(field, document.fields[field])}" for field, name in chosen)
    return Turn(_asked(rng, _JSON_QUESTIONS, [name for _, name in chosen]), "{" + ",".join(pairs) + "}", "object")


def rows_turn(rng: random.Random, document: Document) -> Turn:
    """All invoice lines as JSON rows with some of their cells in some order."""
    cells = rng.sample(list(ROW_NAMES), rng.choice((2, 3, 4, 4)))
    names = {cell: rng.choice(ROW_NAMES[cell]) for cell in cells}
    rows = (
        "{" + ",".join(f"{_quoted(name)}:{_json_value(cell, row[cell])}" for cell, name in names.items()) + "}"
        for row in document.rows
    )
    return Turn(_asked(rng, _ROW_LIST_QUESTIONS, list(names.values())), "[" + ",".join(rows) + "]", "rows")


def copy_turn(rng: random.Random, document: Document) -> Turn:
    """A line, or some lines in a row, word for word."""
    start = rng.randrange(len(document.lines))
    if rng.random() < 0.3:
        return Turn(f"Repeat line {start + 1}.", document.lines[start], "copy")
    first, *others = document.lines[start : start + rng.randint(1, 6)]
    if others and rng.random() < 0.5:
        return Turn(f"What stands below {_quoted(first)}?", "\n".join(others), "copy")
    return Turn(f"Repeat from {_quoted(first.split()[0])} on.", "\n".join([first, *others]), "copy")


def sum_turn(rng: random.Random, document: Document) -> Turn:
    """Whether the lines sum to the subtotal, with both numbers."""
    summed = sum((Decimal(row["sum"]) for row in document.rows), Decimal(0))
    printed = document.fields["subtotal"]
    verdict = "yes" if summed == Decimal(printed) else "no"
    question = rng.choice(("Do the lines sum to the subtotal?", "Is the sum of the lines right?"))
    return Turn(question, f"lines {summed:f}, subtotal {printed}: {verdict}", "sum")


_TASKS: dict[Callable[[random.Random, Document], Turn], float] = {
    field_turn: 0.26,
    row_turn: 0.12,
    list_turn: 0.12,
    object_turn: 0.24,
    rows_turn: 0.12,
    copy_turn: 0.12,
    sum_turn: 0.02,
}


def _some_fields(rng: random.Random, document: Document) -> list[tuple[str, str]]:
    fields = rng.sample(list(document.fields), rng.randint(2, min(9, len(document.fields))))
    return [(field, rng.choice(FIELD_NAMES[field])) for field in fields]


def _asked(rng: random.Random, questions: tuple[str, ...], names: list[str]) -> str:
    return rng.choice(questions).format(names=", ".join(names))


def _json_value(name: str, value: str) -> str:
    return value if name in _NUMBERS else _quoted(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
