"""Rule kind `chinese_amount`: an amount in capital letters (大写) is the same number as another field."""

from __future__ import annotations

from erniekit_adapter.documents.chinese_amounts import parse_chinese_amount
from erniekit_adapter.documents.rules.context import Check, RuleContext, number_of, shown, value_at
from erniekit_adapter.documents.verdict import Verdict, missing


def capital_letters_check(text_path: str, number_path: str) -> Check:
    """Return the check that the text of a field means the number of another.

    A text that is not understood is not checkable: a page can have a form of writing that we do not know.
    """

    def check(_: object, context: RuleContext) -> Verdict:
        text, number = value_at(context.content, text_path), number_of(value_at(context.content, number_path))
        if not isinstance(text, str) or number is None:
            operands = ((text_path, isinstance(text, str)), (number_path, number is not None))
            return missing(*(path for path, is_known in operands if not is_known))
        try:
            found = parse_chinese_amount(text)
        except ValueError as error:
            return "not checkable", f"{text_path}: {error}"
        if found == number:
            return "pass", f"{text_path} {shown(text)} = {number_path} {number}"
        return "fail", f"{text_path} {shown(text)} = {found} ≠ {number_path} {number}"

    return check
