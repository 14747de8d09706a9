"""The rules of e-invoices as a set, with sentences for people."""

from __future__ import annotations

import pytest

from erniekit_adapter.documents.invoice.einvoice import EInvoice, Syntax
from erniekit_adapter.documents.invoice.einvoice_rules import check_einvoice, einvoice_rules


@pytest.mark.parametrize("syntax", ["UBL", "CII"])
def test_every_einvoice_rule_has_its_own_sentence(syntax: Syntax) -> None:
    rules = einvoice_rules(None, syntax).rules
    assert len({rule.name for rule in rules}) == len({rule.sentence for rule in rules}) == len(rules)
    assert all(rule.sentence.endswith(".") for rule in rules)


def test_check_applies_the_rules_of_the_used_categories() -> None:
    names = [finding.rule for finding in check_einvoice(EInvoice())]
    assert names == [rule.name for rule in einvoice_rules(frozenset({"S"})).rules]


def test_some_category_rules_only_warn_in_cii() -> None:
    levels = {syntax: einvoice_rules(None, syntax).by_name["BR-AF-08"].level for syntax in ("UBL", "CII")}
    assert levels == {"UBL": "error", "CII": "warn"}
