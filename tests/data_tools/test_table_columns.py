from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from table_examples import HEADER, ROW, source, write_csv, write_xlsx

from data_tools.inspect.columns import Mapping, find_mapping
from data_tools.sources.answers.flat_fields import answer_of
from data_tools.sources.tables.names import ambiguous_names, column_key, strong_names, weak_names
from erniekit_adapter.errors import AdapterError
from erniekit_adapter.project.table_source import LineItemColumns, TableColumns, TableSource

FIELDS = "file invoice_number invoice_date due_date vendor_name subtotal tax_amount grand_total currency"
ENGLISH = FIELDS.split()
NAMES = {
    "snake case": "filename invoice_no inv_date due_date supplier net_amount vat_amount total_amount currency_code",
    "German": "Datei|RE-Nr.|Rg.-Datum|Fälligkeit|Lieferant|Betrag netto|MwSt.-Betrag|Betrag brutto|Währung",
    "German, short": "Dateiname|Rechnungs-Nr.|Rechnungsdatum|fällig am|Rechnungssteller|Netto|USt-Betrag|Brutto|WKZ",
    "French": "Fichier|N° facture|Date d'émission|Échéance|Fournisseur|Montant HT|Montant TVA|Montant TTC|Devise",
    "Spanish": "Archivo|Nº de factura|Fecha|Fecha de vencimiento|Proveedor|Importe neto|Cuota IVA|Importe total|Moneda",
    "Italian": "Nome file|Numero fattura|Data fattura|Scadenza|Fornitore|Imponibile|Importo IVA|Totale|Valuta",
    "Dutch": "Bestand|Factuurnummer|Factuurdatum|Vervaldatum|Leverancier|Totaal ex btw|BTW-bedrag|Totaalbedrag|Valuta",
    "camel case": "FileName InvoiceNumber InvoiceDate DueDate VendorName NetAmount TaxAmount TotalAmount CurrencyCode",
    "currencies": "file|Invoice #|Date|Due Date|Vendor|Net (EUR)|VAT amount [€]|Total in EUR|Currency",
}  # fmt: skip
VALUES = ["a.png", "R-1", "14.03.2025", "13.04.2025", "Nord", "200,00", "38,00", "238,00", "EUR"]


def mapping(tmp_path: Path, header: list[str], *rows: list[str], **keys: object) -> Mapping:
    return find_mapping(source(write_csv(tmp_path / "book.csv", [header, *rows]), **keys))


def fields(found: Mapping) -> dict[str, str]:
    return {use.field: use.column for use in found.matched}


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_usual_names(tmp_path: Path, names: str) -> None:
    header = names.split("|") if "|" in names else names.split()
    found = mapping(tmp_path, header, VALUES)
    assert fields(found) == dict(zip(ENGLISH, header, strict=True))
    assert not found.questions
    assert not found.unmatched


@pytest.mark.parametrize(
    ("column", "values", "meant"),
    [
        ("VAT", ["38,00", "19,00"], "tax_amount"),
        ("BTW", ["21%", "9 %"], "tax_rate"),
        ("IVA", ["22", "19"], None),
        ("USt", ["0.19", "0.07"], None),
        ("TVA", ["", "1,23"], "tax_amount"),
    ],
)
def test_tax_is_an_amount_or_a_rate(tmp_path: Path, column: str, values: list[str], meant: str | None) -> None:
    found = mapping(tmp_path, ["file", column], *(["a.png", value] for value in values))
    assert fields(found).get(meant or "file") == (column if meant else "file")
    assert bool(found.questions) == (meant is None)


@pytest.mark.parametrize(
    ("header", "finding", "hint"),
    [
        (["file", "Betrag"], "subtotal or grand_total", '{subtotal: "Betrag"} or columns: {grand_total: "Betrag"}'),
        (["file", "Amount"], "subtotal or grand_total", 'ignore: ["Amount"]'),
        (["file", "Name"], "vendor_name or client_name", 'columns: {client_name: "Name"}'),
        (["file", "Total", "Total"], "column 2 and column 3", 'columns: {grand_total: "column 2"}'),
        (["file", "Brutto", "Total TTC"], "Brutto and Total TTC", 'columns: {grand_total: "Brutto"}'),
    ],
)  # fmt: skip
def test_asks_about_ambiguous_names(tmp_path: Path, header: list[str], finding: str, hint: str) -> None:
    (question,) = mapping(tmp_path, header, ["a.png", *("1,00" for _ in header[1:])]).questions
    assert finding in question.finding
    assert hint in question.hint


@pytest.mark.parametrize(
    ("header", "unmatched"),
    [
        (["file", "Rechnungsdatum", "Datum"], ["Datum"]),
        (["file", "Total", "Total TTC"], ["Total"]),
        (["file", "Brutto", "Betrag"], ["Betrag"]),
        (["file", "Total", "Paid", "Open"], ["Paid", "Open"]),
    ],
)
def test_leaves_uncertain_columns_out(tmp_path: Path, header: list[str], unmatched: list[str]) -> None:
    found = mapping(tmp_path, header, ["a.png", *("1.1.2025" for _ in header[1:])])
    assert [use.column for use in found.unmatched] == unmatched
    assert not found.questions


@pytest.mark.parametrize("column", ["Betrag", "betrag", "column 2", "column B", " Betrag "])
def test_mapping_of_the_project_file_has_priority(tmp_path: Path, column: str) -> None:
    found = mapping(tmp_path, ["file", "Betrag"], ["a.png", "1,00"], columns={"grand_total": column})
    assert fields(found) == {"file": "file", "grand_total": "Betrag"}
    assert not found.questions


def test_does_not_ask_about_ignored_columns(tmp_path: Path) -> None:
    found = mapping(tmp_path, ["file", "Betrag", "Total"], ["a.png", "1,00", "2,00"], ignore=["Betrag", "Total"])
    assert (fields(found), found.unmatched, found.questions) == ({"file": "file"}, (), ())


def test_names_a_missing_column(tmp_path: Path) -> None:
    with pytest.raises(AdapterError, match=r"columns\.grand_total: no column 'Summe'\n.*'file', 'Betrag'"):
        mapping(tmp_path, ["file", "Betrag"], columns={"grand_total": "Summe"})
    with pytest.raises(AdapterError, match="'Betrag' names 2 columns: write column 2 or column 3"):
        mapping(tmp_path, ["file", "Betrag", "Betrag"], columns={"grand_total": "Betrag"})


def test_printed_mapping_gives_the_same_result(tmp_path: Path) -> None:
    header = ["file", "Total", "Total", 'Say "hello": #1', "Menge", "Beschreibung"]
    path = write_csv(tmp_path / "book.csv", [header, ["a.png", "1", "2", "x", "3", "y"]])
    first = find_mapping(source(path, columns={"grand_total": "column 3", "vendor_name": 'Say "hello": #1'}))
    given = yaml.safe_load(first.yaml)["data"]["sources"][0]
    again = find_mapping(TableSource.model_validate({**given, "path": Path(given["path"])}))
    assert (again.matched, again.questions) == (first.matched, ())


@given(st.permutations(range(len(HEADER))))
def test_column_order_does_not_matter(tmp_path_factory: pytest.TempPathFactory, order: list[int]) -> None:
    rows = [[cells[place] for place in order] for cells in (HEADER, ROW)]
    found = find_mapping(source(write_csv(tmp_path_factory.getbasetemp() / "order.csv", rows)))
    assert fields(found)["tax_amount"] == "vat"
    assert {use.field: use.read_as for use in found.matched}["subtotal"] == ("200.00",)
    assert len(found.matched) == len(HEADER)


def test_recognises_line_items(tmp_path: Path) -> None:
    header = ["Invoice no", "Description", "Qty", "Unit price", "Line total", "Total"]
    found = mapping(tmp_path, header, ["1", "a", "2", "1", "2", "5"], ["1", "b", "1", "3", "3", "5"])
    assert found.row_is == "a line item"
    assert fields(found)["line_items.total"] == "Line total"
    assert fields(found)["grand_total"] == "Total"


def test_description_without_amounts_is_not_a_line_item(tmp_path: Path) -> None:
    found = mapping(tmp_path, ["file", "Description", "Total"], ["a.png", "chairs", "5"])
    assert found.row_is == "a document"
    assert [use.column for use in found.unmatched] == ["Description"]


def test_asks_about_a_total_that_differs_in_a_document(tmp_path: Path) -> None:
    header = ["Numéro facture", "Désignation", "Quantité", "Total HT", "Total TTC"]
    found = mapping(tmp_path, header, ["1", "a", "2", "10,00", "12,00"], ["1", "b", "1", "20,00", "24,00"])
    net, gross = found.questions
    assert "10,00 in line 2, 20,00 in line 3" in net.finding
    assert 'line_items: {total: "Total HT"}' in net.hint
    assert gross.hint.startswith('ignore: ["Total TTC"]')


def test_names_are_unique_and_have_known_fields() -> None:
    known = {*TableColumns.model_fields} - {"line_items"} | {
        f"line_items.{name}" for name in LineItemColumns.model_fields
    }
    tiers = [*strong_names().items(), *weak_names().items()]
    assert {field for _, field in tiers} <= known
    assert not set(strong_names()) & set(weak_names()) & set(ambiguous_names())
    assert all(column_key(name) == name for name, _ in tiers)


def test_every_field_of_a_mapping_is_in_the_answer() -> None:
    for name in TableColumns.model_fields.keys() - {"file", "line_items"}:
        special = {"invoice_date": "2025-01-01", "due_date": "2025-01-01", "currency": "EUR", "document_type": "avoir"}
        value = special.get(name, "1")
        assert answer_of({name: value}).structured_data != answer_of({}).structured_data, name


def test_maps_a_workbook_like_a_csv(tmp_path: Path) -> None:
    book = find_mapping(source(write_xlsx(tmp_path / "book.xlsx", [HEADER, ROW])))
    assert book.matched == mapping(tmp_path, HEADER, ROW).matched
