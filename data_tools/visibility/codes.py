"""Search for the value of a code list: its own spelling, or a name of the same thing in another language."""

from __future__ import annotations

import re

from data_tools.visibility.labels import CREDIT_NOTE, label_pattern
from data_tools.visibility.names import METHODS, TAXES
from data_tools.visibility.page_text import PageText
from data_tools.visibility.spellings import without_compatibility_forms
from data_tools.visibility.text import shows_identifier

# Up to this length a code must be printed as it is, as a word: `S` is not found in `U.S.`.
_OWN_WORD_LETTERS = 2
# The first character of scripts without blanks between words.
_UNSPACED = "\u2e80"
_DOCUMENTS = (
    (
        "invoice", "tax invoice", "rechnung", "facture", "factura", "fattura", "factuur", "fatura", "发票",
        "增值税发票", "請求書", "인보이스",
    ),
    ("receipt", "sales receipt", "quittung", "kassenbon", "bon", "reçu", "ticket de caisse", "recibo", "ricevuta",
     "scontrino", "kassabon", "收据", "小票", "領収書", "レシート", "영수증"),
    ("purchase order", "order", "bestellung", "commande", "bon de commande", "pedido", "orden de compra", "ordine",
     "inkooporder", "采购订单", "采购单", "注文書", "発注書", "발주서"),
    CREDIT_NOTE,
)  # fmt: skip
_DIRECTIONS = (
    ("debit", "soll", "débit", "debito", "cargo", "debet", "借方", "支出", "출금"),
    ("credit", "haben", "crédit", "credito", "abono", "tegoed", "贷方", "收入", "입금"),
)
# Names of a kind of payment, and the payments of this kind: one of them shows the kind, but not another of them.
_WALLET_KIND = (
    "wallet", "mobile wallet", "digital wallet", "e-wallet", "mobile payment", "电子钱包", "移动支付", "扫码支付",
)  # fmt: skip
_WALLETS = (
    "微信支付", "支付宝", "wechat pay", "weixin pay", "alipay", "unionpay quickpass", "云闪付", "apple pay",
    "google pay", "samsung pay", "paypay", "gopay", "shopeepay", "linkaja", "grabpay", "touch 'n go ewallet",
    "kakaopay", "카카오페이", "swish", "vipps", "mobilepay", "twint", "bizum",
)  # fmt: skip
_KINDS = ((frozenset(_WALLET_KIND), (*_WALLET_KIND, *_WALLETS)),)
# Names that are also other words: `BAR` is cash beside an amount or a word for paying, and not in `BAR AL PONTE`.
_ONLY_AS = {
    "bar": re.compile(
        r"(?<![^\W_])(?:zahl[^\W_]{0,12}|bezahlt|gegeben|in)[\s:.]{1,4}bar(?![^\W_])"
        r"|(?<![^\W_])bar[\s:]{1,4}(?:(?:eur|chf|€)\s{0,2})?[0-9]",
        re.IGNORECASE,
    )
}
_GROUPS = tuple(frozenset(name.casefold() for name in group) for group in (*METHODS, *TAXES, *_DOCUMENTS, *_DIRECTIONS))


def shows_code(value: str, page: PageText, choices: tuple[str, ...] = ()) -> bool:
    """Return whether a page prints a code, or a known name of the same thing: `cash` as `BAR`.

    A name counts only if it means one of the choices: `Karte` does not decide between `credit card` and `debit card`.
    A code of one or two characters must be printed as it is.
    """
    if f" {value} " in page.text:
        return True
    value = without_compatibility_forms(value)
    name = _name(value)
    is_short = len(name) <= _OWN_WORD_LETTERS and name < _UNSPACED
    if is_short or not any(map(str.isalpha, name)):
        return not is_short and shows_identifier(value, page)
    if label_pattern((name,)).search(page.text):
        return True
    others = {_name(without_compatibility_forms(choice)) for choice in choices} - {name}
    groups = [group for group in _GROUPS if name in group]
    groups += [frozenset(names) for kind, names in _KINDS if name in kind]
    return any(_shows_name_of(group, page.text) for group in groups if not others & group)


def _shows_name_of(group: frozenset[str], text: str) -> bool:
    names = tuple(sorted(group - _ONLY_AS.keys()))
    if label_pattern(names).search(text):
        return True
    return any(pattern.search(text) is not None for name, pattern in _ONLY_AS.items() if name in group)


def _name(value: str) -> str:
    """Return a code as words: `credit_note` is `credit note`."""
    return " ".join(value.replace("_", " ").replace("-", " ").casefold().split())
