"""Chinese VAT invoices of OCR services, read into the shipped type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from receipt_type_examples import content, truth_of
from source_examples import read_source
from table_examples import source, write_csv, write_pages

from data_tools.records import DocumentRecord
from erniekit_adapter.documents.loading import load_document_type
from erniekit_adapter.errors import AdapterError

FAPIAO = load_document_type("vat-invoice-cn")


def cells(*words: str) -> list[dict[str, str]]:
    return [{"row": str(number), "word": word} for number, word in enumerate(words, 1) if word]


BAIDU = {
    "InvoiceType": "电子普通发票",
    "InvoiceCode": "044032000211",
    "InvoiceNum": "67540627",
    "InvoiceDate": "2021年05月15日",
    "PurchaserName": "甲公司",
    "PurchaserAddress": "",
    "SellerName": "乙公司",
    "SellerRegisterNum": "91440300MA5EJRPEXF",
    "CommodityName": cells("*餐饮服务*餐费", "*餐饮服务*茶"),
    "CommodityUnit": [],
    "CommodityAmount": cells("39.15", "1.00"),
    "CommodityTaxRate": cells("6%", "免税"),
    "CommodityTax": cells("2.35", "***"),
    "TotalAmount": "40.15",
    "TotalTax": "2.35",
    "AmountInFiguers": "42.50",
    "AmountInWords": "肆拾贰圆伍角整",
    "Password": "0378",
}
TENCENT = {
    "VatInvoiceInfos": [
        {"Name": "发票代码", "Value": "044032000211"},
        {"Name": "发票号码", "Value": "No67540627"},
        {"Name": "开票日期", "Value": "2021年05月15日"},
        {"Name": "购买方名称", "Value": "甲公司"},
        {"Name": "购买方识别号", "Value": ""},
        {"Name": "销售方名称", "Value": "乙公司"},
        {"Name": "销售方识别号", "Value": "91440300MA5EJRPEXF"},
        {"Name": "合计金额", "Value": "¥40.15"},
        {"Name": "合计税额", "Value": "¥2.35"},
        {"Name": "价税合计(大写)", "Value": "肆拾贰圆伍角整"},
        {"Name": "小写金额", "Value": "¥42.50"},
        {"Name": "发票类型", "Value": "电子普通发票"},
        {"Name": "密码区1", "Value": "0378"},
    ],
    "Items": [
        {"Name": "*餐饮服务*餐费", "AmountWithoutTax": "39.15", "TaxRate": "6%", "TaxAmount": "2.35", "Unit": ""},
        {"Name": "*餐饮服务*茶", "AmountWithoutTax": "1.00", "TaxRate": "免税", "TaxAmount": "***"},
    ],
}
CONTENT = {
    "发票类型": "增值税电子普通发票",
    "发票代码": "044032000211",
    "发票号码": "67540627",
    "开票日期": "2021-05-15",
    "购买方": {"名称": "甲公司"},
    "明细": [
        {"项目名称": "*餐饮服务*餐费", "金额": "39.15", "税率": "0.06", "税额": "2.35"},
        {"项目名称": "*餐饮服务*茶", "金额": "1.00"},
    ],
    "合计金额": "40.15",
    "合计税额": "2.35",
    "价税合计大写": "肆拾贰圆伍角整",
    "价税合计小写": "42.50",
    "销售方": {"名称": "乙公司", "纳税人识别号": "91440300MA5EJRPEXF"},
}


@pytest.mark.parametrize(
    ("value", "unused"),
    [
        (BAIDU, "Password"),
        ({"words_result": BAIDU, "words_result_num": 18, "log_id": 1}, "Password"),
        (TENCENT, "密码区1"),
        ({"Response": TENCENT}, "密码区1"),
    ],
)
def test_reads_the_answer_of_an_ocr_service(value: Any, unused: str) -> None:
    found = truth_of(value, FAPIAO)
    assert content(value, FAPIAO) == CONTENT
    assert (found.unused_keys, found.model) == ((unused,), found.kind)


def test_the_answer_of_an_ocr_service_must_be_whole() -> None:
    with pytest.raises(ValueError, match="has no row and word"):
        truth_of({**BAIDU, "CommodityName": ["x"]}, FAPIAO)
    infos = [*TENCENT["VatInvoiceInfos"], {"Name": "发票号码", "Value": "1"}]
    with pytest.raises(ValueError, match="given twice with different values"):
        truth_of({**TENCENT, "VatInvoiceInfos": infos}, FAPIAO)


def test_a_total_without_its_meaning_is_not_used() -> None:
    found = truth_of({"invoiceNumber": "67540627", "totalAmount": "42.50"}, FAPIAO)
    assert FAPIAO.content_of(found.answer) == {"发票号码": "67540627"}
    assert found.unused_keys == ("totalAmount",)


def test_full_width_numbers_are_those_in_half_width() -> None:
    assert content({"发票号码": "６７５４０６２７", "价税合计": "￥４２．５０"}, FAPIAO) == {
        "发票号码": "67540627",
        "价税合计小写": "42.50",
    }


def test_a_price_with_three_decimals_can_be_long() -> None:
    assert content({"明细": [{"单价": "1792.035"}]}, FAPIAO) == {"明细": [{"单价": "1792.035"}]}


def test_a_list_of_invoices_has_no_rows(tmp_path: Path) -> None:
    write_pages(tmp_path, "a.png")
    header = ["file", "发票号码", "金额", "税额", "价税合计"]
    path = write_csv(tmp_path / "book.csv", [header, ["a.png", "67540627", "40.15", "2.35", "42.50"]])
    with pytest.raises(AdapterError, match=r"'金额' can be 明细\.金额, or the sum of a document"):
        read_source(source(path), document_type=FAPIAO)
    columns = {"合计金额": "金额", "合计税额": "税额"}
    records = read_source(source(path, columns=columns), document_type=FAPIAO)
    answer = next(each.answer for each in records if isinstance(each, DocumentRecord))
    assert answer is not None
    assert FAPIAO.content_of(answer).keys() == {"发票号码", "合计金额", "合计税额", "价税合计小写"}
