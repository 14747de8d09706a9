"""Questions about a document and their answers, with many field names; none of the answers has the canonical schema."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from erniekit_adapter.documents.loading import INVOICE
from tiny_base import words

# All names of the canonical schema: the invented keys must not contain them.
CANONICAL_KEYS = frozenset(re.findall(r'"(\w+)"', INVOICE.prompts.analysis_request(None, with_image=False)))
# Names of each field: as a key, or with spaces in a question. Names of the canonical blocks are not among them.
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
# Answer for a field that is not on the page; an object omits such a field.
NOT_FOUND = "none"
_ABSENT_SHARE = 0.15
_LIST_QUESTIONS = (
    'List {names} as "name{mark}value".',
    'Write down {names} with "{mark}" between.',
    '"{mark}": {names}',
)
_JSON_QUESTIONS = ("Give JSON with {names}.", "JSON: {names}", "Answer with an object of {names}.", "As JSON, {names}.")
_ROW_LIST_QUESTIONS = ("All items as JSON with {names}.", "Rows: {names}", "List every line as {names}.")
_FORM_QUESTIONS = (
    "JSON of {names}; below it the items as {cells}.",
    "First {names} as an object, then rows of {cells}.",
)
# Ways in which a question maps an invented key to a field.
_RENAMINGS = ("{key} = {name}", "{name} as {key}", "{key} ({name})", "{key} for the {name}")


@dataclass(frozen=True)
class Document:
    """A page and its values.

    Attributes:
        lines: text of the page.
        fields: values of the fields on the page, as answers write them, by key of FIELD_NAMES.
        rows: line items, each with the keys of ROW_NAMES.
    """

    lines: tuple[str, ...]
    fields: dict[str, str]
    rows: tuple[dict[str, str], ...]


@dataclass(frozen=True)
class Turn:
    """A question and its answer; `kind` is the name of the task."""

    question: str
    answer: str
    kind: str


def turn(rng: random.Random, document: Document) -> Turn:
    """Return a random task about a document."""
    make = rng.choices(list(_TASKS), weights=list(_TASKS.values()))[0]
    return make(rng, document)


def field_turn(rng: random.Random, document: Document) -> Turn:
    """Return a question for one field by one of its names."""
    field = rng.choice(_absent(document) if rng.random() < _ABSENT_SHARE else list(document.fields))
    name = rng.choice(FIELD_NAMES[field]).replace("_", " ")
    return Turn(rng.choice(_FIELD_QUESTIONS).format(name=name), document.fields.get(field, NOT_FOUND), "field")


def row_turn(rng: random.Random, document: Document) -> Turn:
    """Return a question for one cell of a line item, by its position or its text."""
    place = rng.randrange(len(document.rows))
    row, cell = document.rows[place], rng.choice(list(ROW_NAMES))
    question = rng.choice(_ROW_QUESTIONS[cell]).format(n=place + 1, text=row["text"])
    return Turn(question, row[cell], "cell")


def order_turn(rng: random.Random, document: Document) -> Turn:
    """Return a question about the order of items: the next item, whether one is the last, or their number."""
    texts = [row["text"] for row in document.rows]
    place = rng.choice((rng.randrange(len(texts)), len(texts) - 1))
    if rng.random() < 0.2:
        question, answer = rng.choice((("How many items?", str(len(texts))), ("What is the last item?", texts[-1])))
        return Turn(question, answer, "order")
    if rng.random() < 0.3:
        last = "yes" if place == len(texts) - 1 else "no"
        return Turn(f"Is {texts[place]} the last item?", last, "order")
    following = texts[place + 1] if place + 1 < len(texts) else NOT_FOUND
    return Turn(f"Which item follows {texts[place]}?", following, "order")


def list_turn(rng: random.Random, document: Document) -> Turn:
    """Return a question for some fields as lines of name and value, separated by a given mark."""
    named, keys = _some_fields(rng, document)
    mark = rng.choice((": ", " = ", " - ", " is ", " | "))
    answer = "\n".join(f"{key}{mark}{document.fields.get(field, NOT_FOUND)}" for field, key in keys.items())
    return Turn(rng.choice(_LIST_QUESTIONS).format(names=named, mark=mark), answer, "list")


def object_turn(rng: random.Random, document: Document) -> Turn:
    """Return a question for some fields as one flat JSON object."""
    named, keys = _some_fields(rng, document)
    return Turn(rng.choice(_JSON_QUESTIONS).format(names=named), _object(keys, document.fields), "object")


def rows_turn(rng: random.Random, document: Document) -> Turn:
    """Return a question for all line items as JSON rows with some cells in some order."""
    named, keys = _some_cells(rng)
    return Turn(rng.choice(_ROW_LIST_QUESTIONS).format(names=named), _rows(keys, document), "rows")


def form_turn(rng: random.Random, document: Document) -> Turn:
    """Return a question for some fields as an object and all line items as rows: a long answer."""
    named, keys = _some_fields(rng, document)
    named_cells, cell_keys = _some_cells(rng)
    question = rng.choice(_FORM_QUESTIONS).format(names=named, cells=named_cells)
    return Turn(question, f"{_object(keys, document.fields)}\n{_rows(cell_keys, document)}", "form")


def copy_turn(rng: random.Random, document: Document) -> Turn:
    """Return a question for a verbatim copy of one or more lines."""
    start = rng.randrange(len(document.lines))
    if rng.random() < 0.3:
        return Turn(f"Repeat line {start + 1}.", document.lines[start], "copy")
    first, *others = document.lines[start : start + rng.randint(1, 6)]
    if others and rng.random() < 0.5:
        return Turn(f"What {len(others)} lines stand below {_quoted(first)}?", "\n".join(others), "copy")
    question = f"Repeat {len(others) + 1} lines from {_quoted(first.split()[0])} on."
    return Turn(question, "\n".join([first, *others]), "copy")


def echo_turn(rng: random.Random, document: Document) -> Turn:
    """Return a request to repeat random words, numbers and marks; it covers every piece of the tokenizer."""
    text = words.jumble(rng)
    return Turn(rng.choice(("Say {text}", "Repeat: {text}", "Copy {text}")).format(text=text), text, "echo")


def sum_turn(rng: random.Random, document: Document) -> Turn:
    """Return a question whether the lines sum to the subtotal; the answer has both numbers."""
    summed = sum((Decimal(row["sum"]) for row in document.rows), Decimal(0))
    printed = document.fields["subtotal"]
    verdict = "yes" if summed == Decimal(printed) else "no"
    question = rng.choice(("Do the lines sum to the subtotal?", "Is the sum of the lines right?"))
    return Turn(question, f"lines {summed:f}, subtotal {printed}: {verdict}", "sum")


_TASKS: dict[Callable[[random.Random, Document], Turn], float] = {
    field_turn: 0.10,
    row_turn: 0.06,
    order_turn: 0.09,
    list_turn: 0.06,
    object_turn: 0.23,
    rows_turn: 0.20,
    form_turn: 0.15,
    copy_turn: 0.05,
    echo_turn: 0.05,
    sum_turn: 0.01,
}


def _some_fields(rng: random.Random, document: Document) -> tuple[str, dict[str, str]]:
    """Return the description of some fields in a question, and the key of each in the answer."""
    present = list(document.fields)
    fields = rng.sample(present, rng.randint(2, min(12, len(present))))
    if rng.random() < 0.4:
        absent = _absent(document)
        fields += rng.sample(absent, min(len(absent), rng.randint(1, 2)))
        rng.shuffle(fields)
    return _named(rng, {field: FIELD_NAMES[field] for field in fields})


def _some_cells(rng: random.Random) -> tuple[str, dict[str, str]]:
    cells = rng.sample(list(ROW_NAMES), rng.choice((2, 3, 4, 4)))
    return _named(rng, {cell: ROW_NAMES[cell] for cell in cells})


def _absent(document: Document) -> list[str]:
    return [field for field in FIELD_NAMES if field not in document.fields] or ["rate"]


def _named(rng: random.Random, names: dict[str, tuple[str, ...]]) -> tuple[str, dict[str, str]]:
    """Return fields with descriptive names or, in half of the cases, with invented keys that the question explains."""
    keys = {field: rng.choice(choices) for field, choices in names.items()}
    if rng.random() < 0.5:
        return ", ".join(keys.values()), keys
    renaming = rng.choice(_RENAMINGS)
    own = {field: _own_key(rng) for field in keys}
    named = [renaming.format(key=own[field], name=name.replace("_", " ")) for field, name in keys.items()]
    return ", ".join(named), own


def _own_key(rng: random.Random) -> str:
    while (key := words.key(rng)) in CANONICAL_KEYS:
        pass
    return key


def _object(keys: dict[str, str], values: dict[str, str]) -> str:
    shown = {field: key for field, key in keys.items() if field in values}
    return "{" + ",".join(f"{_quoted(key)}:{_json_value(field, values[field])}" for field, key in shown.items()) + "}"


def _rows(keys: dict[str, str], document: Document) -> str:
    return "[" + ",".join(_object(keys, row) for row in document.rows) + "]"


def _json_value(field: str, value: str) -> str:
    return value if field in _NUMBERS else _quoted(value)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
