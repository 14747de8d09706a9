"""Chinese VAT invoices (增值税发票) as the OCR services of Baidu and Tencent return them, read into declared types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from data_tools.sources.answers.objects import read_object
from data_tools.sources.answers.truth import GroundTruth, ReadSettings
from data_tools.sources.declared.objects import read_declared
from data_tools.sources.files.json_values import shown
from data_tools.sources.shapes.shape import Shape, is_empty, is_list_of_objects
from erniekit_adapter.documents.loading import INVOICE

# Keys of Baidu's answer → the labels of the page.
_BAIDU = {
    "InvoiceType": "发票类型", "InvoiceCode": "发票代码", "InvoiceNum": "发票号码", "InvoiceDate": "开票日期",
    "CheckCode": "校验码", "PurchaserName": "购买方名称", "PurchaserRegisterNum": "购买方纳税人识别号",
    "PurchaserAddress": "购买方地址电话", "PurchaserBank": "购买方开户行及账号", "TotalAmount": "合计金额",
    "TotalTax": "合计税额", "AmountInWords": "价税合计大写", "AmountInFiguers": "价税合计小写",
    "AmountInFigures": "价税合计小写", "SellerName": "销售方名称", "SellerRegisterNum": "销售方纳税人识别号",
    "SellerAddress": "销售方地址电话", "SellerBank": "销售方开户行及账号", "Remarks": "备注", "Payee": "收款人",
    "Checker": "复核", "NoteDrawer": "开票人",
}  # fmt: skip
# Columns of Baidu's rows: each is a list of `row` and `word`.
_BAIDU_ROWS = {
    "CommodityName": "项目名称", "CommodityType": "规格型号", "CommodityUnit": "单位", "CommodityNum": "数量",
    "CommodityPrice": "单价", "CommodityAmount": "金额", "CommodityTaxRate": "税率", "CommodityTax": "税额",
}  # fmt: skip
_TENCENT_ROWS = {
    "Name": "项目名称", "Spec": "规格型号", "Unit": "单位", "Quantity": "数量", "UnitPrice": "单价",
    "AmountWithoutTax": "金额", "TaxRate": "税率", "TaxAmount": "税额",
}  # fmt: skip
# Short names of the kinds of invoices → the name on the page.
_TYPES = {
    "专用发票": "增值税专用发票", "普通发票": "增值税普通发票", "电子专用发票": "增值税电子专用发票",
    "电子普通发票": "增值税电子普通发票", "全电发票（专用发票）": "电子发票（增值税专用发票）",
    "全电发票（普通发票）": "电子发票（普通发票）", "数电票（专用发票）": "电子发票（增值税专用发票）",
    "数电票（普通发票）": "电子发票（普通发票）",
}  # fmt: skip
# Sign before the number of an invoice.
_NUMBER_SIGN = re.compile(r"^\s*(?:No|NO|№)[.:：]?\s*(?=\d)")


def _baidu(value: Any) -> Any:
    return value.get("words_result", value) if isinstance(value, dict) else None


def _is_baidu(value: Any) -> bool:
    part = _baidu(value)
    return isinstance(part, dict) and "InvoiceNum" in part and len(part.keys() & {*_BAIDU, *_BAIDU_ROWS}) > 4


def _read_baidu(value: Any, settings: ReadSettings) -> GroundTruth:
    if settings.document_type is INVOICE:
        return read_object(value, settings)
    part = _baidu(value)
    found = {_BAIDU.get(key, key): each for key, each in part.items() if key not in _BAIDU_ROWS and not is_empty(each)}
    rows: dict[int, dict[str, Any]] = {}
    for key, label in _BAIDU_ROWS.items():
        for cell in part.get(key) or []:
            try:
                rows.setdefault(int(cell["row"]), {})[label] = cell["word"]
            except (TypeError, KeyError, ValueError) as error:
                raise ValueError(f"{key}: {shown(cell)} has no row and word") from error
    return _read(found, [rows[number] for number in sorted(rows)], BAIDU, settings)


def _tencent(value: Any) -> Any:
    return value.get("Response", value) if isinstance(value, dict) else None


def _is_tencent(value: Any) -> bool:
    part = _tencent(value)
    if not isinstance(part, dict) or not is_list_of_objects(part.get("VatInvoiceInfos")):
        return False
    return all(isinstance(each.get("Name"), str) for each in part["VatInvoiceInfos"])


def _read_tencent(value: Any, settings: ReadSettings) -> GroundTruth:
    if settings.document_type is INVOICE:
        return read_object(value, settings)
    part = _tencent(value)
    found: dict[str, Any] = {}
    for each in part["VatInvoiceInfos"]:
        if not is_empty(each.get("Value")) and found.setdefault(each["Name"], each["Value"]) != each["Value"]:
            raise ValueError(f"{each['Name'][:100]}: given twice with different values")
    items = part.get("Items") or []
    if items and not is_list_of_objects(items):
        raise ValueError(f"Items: {shown(items)} is not a list of objects")
    rows = [{_TENCENT_ROWS.get(key, key): cell for key, cell in item.items() if not is_empty(cell)} for item in items]
    return _read(found, rows, TENCENT, settings)


def _read(found: Mapping[str, Any], rows: list[dict[str, Any]], shape: Shape, settings: ReadSettings) -> GroundTruth:
    """Read the labels of a page and its rows."""
    values = dict(found)
    if isinstance(number := values.get("发票号码"), str):
        values["发票号码"] = _NUMBER_SIGN.sub("", number)
    if isinstance(name := values.get("发票类型"), str):
        values["发票类型"] = _TYPES.get(name.replace("(", "（").replace(")", "）"), name)
    truth = read_declared({**values, **({"明细": rows} if rows else {})}, settings)
    return replace(truth, kind=shape.name, model=shape.name)


BAIDU = Shape("Baidu OCR", _is_baidu, _read_baidu, model="Baidu OCR")
TENCENT = Shape("Tencent OCR", _is_tencent, _read_tencent, model="Tencent OCR")
