"""A source of documents whose ground truth is in a table: CSV or XLSX."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema

from erniekit_adapter.project.section import FilePath, Section, SourceSection

# A column by its header, or by its place: `column 7`, `column G`.
Column = Annotated[str, Field(min_length=1, max_length=500)]
DecimalMark = Literal["comma", "point"]


def _column_or_columns(value: object) -> object:
    """Check the column of a declared type's field, or the columns of its rows."""
    columns = [*value.values()] if isinstance(value, dict) else [value]
    if not all(isinstance(column, str) and 0 < len(column) <= 500 for column in columns):
        raise ValueError("expected the header of a column, or a section with one for each field of a row")
    return value


_COLUMN_SCHEMA = {"type": "string", "minLength": 1, "maxLength": 500}
OtherColumns = Annotated[
    object,
    AfterValidator(_column_or_columns),
    WithJsonSchema({"anyOf": [_COLUMN_SCHEMA, {"type": "object", "additionalProperties": _COLUMN_SCHEMA}]}),
]


class ColumnsOfFields(Section):
    """Columns by field; fields of a declared document type are further keys, which loading the project checks."""

    model_config = ConfigDict(extra="allow")


class LineItemColumns(ColumnsOfFields):
    """Columns of line items, in a table with one row per line item."""

    __pydantic_extra__: dict[str, Column]
    description: Column | None = Field(None, description="name of the product or service")
    quantity: Column | None = Field(None, description="number of units")
    unit_price: Column | None = Field(None, description="price of one unit, without tax")
    total: Column | None = Field(None, description="net amount of the line item")
    tax_rate: Column | None = Field(None, description="rate of tax, in percent or as a fraction")
    tax_amount: Column | None = Field(None, description="amount of tax")


class TableColumns(ColumnsOfFields):
    """The column of each field; columns that are not given here are found by their usual names.

    A declared document type has its own fields, by path: `vendor.name`, and `items: {total: …}` for those of rows.
    """

    __pydantic_extra__: dict[str, OtherColumns]
    file: Column | None = Field(None, description="the document's file, or several separated by ; or |")
    invoice_number: Column | None = Field(None, description="also names the page's file, if no column does")
    invoice_date: Column | None = Field(None, description="date of issue")
    due_date: Column | None = Field(None, description="date by which to pay")
    document_type: Column | None = Field(None, description="invoice or credit note, in words")
    vendor_name: Column | None = Field(None, description="who sends the invoice")
    vendor_address: Column | None = Field(None, description="the sender's address in one cell")
    vendor_phone: Column | None = Field(None, description="the sender's telephone")
    vendor_email: Column | None = Field(None, description="the sender's e-mail address")
    client_name: Column | None = Field(None, description="who receives the invoice")
    client_address: Column | None = Field(None, description="the receiver's address in one cell")
    subtotal: Column | None = Field(None, description="net total, before tax")
    tax_type: Column | None = Field(None, description="name of the tax on the page")
    tax_rate: Column | None = Field(None, description="rate of tax, in percent or as a fraction")
    tax_amount: Column | None = Field(None, description="amount of tax")
    discount: Column | None = Field(None, description="taken off the whole invoice, as an amount")
    charge: Column | None = Field(None, description="added to the whole invoice before tax: freight, a fee")
    grand_total: Column | None = Field(None, description="gross total, with tax")
    amount_paid: Column | None = Field(None, description="paid in advance, as printed on the page")
    rounding: Column | None = Field(None, description="rounding of the amount due, as printed")
    amount_due: Column | None = Field(None, description="left to pay, as printed on the page")
    currency: Column | None = Field(None, description="code or sign: EUR, €")
    payment_method: Column | None = Field(None, description="method of payment")
    payment_terms: Column | None = Field(None, description="terms of payment, as printed")
    line_items: LineItemColumns = Field(LineItemColumns(), description="columns of line items")

    def given(self) -> dict[str, str]:
        """Return the given columns by field; those of line items as `line_items.total`."""
        named = {name: column for name, column in self if isinstance(column, str)}
        for table, columns in self:
            if isinstance(columns, (dict, LineItemColumns)):
                inner = columns.items() if isinstance(columns, dict) else columns
                named |= {f"{table}.{name}": column for name, column in inner if isinstance(column, str)}
        return named

    def unknown(self) -> list[str]:
        """Return the given fields that an invoice does not have."""
        inner = [f"line_items.{name}" for name in self.line_items.model_extra or ()]
        return [*(self.model_extra or ()), *inner]


class TableSource(SourceSection):
    """A table of ground truth (CSV or XLSX): one row per document, or one row per line item."""

    folder_keys = ("documents",)
    required_folder_keys = ("documents",)
    kind: Literal["table"]
    path: FilePath
    documents: FilePath | None = Field(None, description="folder of the pages; default: the table's folder")
    columns: TableColumns = Field(TableColumns(), description="field: header of its column, or `column 7`")
    ignore: list[Column] = Field([], description="columns to ignore")
    sheet: str | None = Field(None, min_length=1, description="sheet of an XLSX file with several sheets")
    decimal_mark: DecimalMark | None = Field(
        None, description="decimal mark of amounts, if the table does not determine it"
    )
