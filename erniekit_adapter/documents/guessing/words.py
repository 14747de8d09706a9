"""Words in keys of example answers, in six languages: the kinds, roles and common other names that they suggest."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from erniekit_adapter.documents.fields import Kind, Role

# The last known word of a key decides: `tax_rate` is a rate, `tax_id` an identifier, `order_quantity` a quantity.
_KIND_WORDS: Mapping[Kind, str] = {
    "date": "date datum fecha day due_on issued expiry faellig fallig echeance vencimiento zeitraum_von "
    "vervaldatum leverdatum",
    "rate": "rate percent percentage pct satz prozent taux tasa porcentaje tarif_prozent tarief uurtarief",
    "currency": "currency wahrung waehrung devise moneda divisa ccy valuta",
    "address": "address adresse anschrift direccion domicile domicilio street strasse adres straat",
    "identifier": "number no nr num id code ref reference identifier iban bic swift phone telephone tel fax zip plz "
    "postcode sku ean gtin isbn barcode vat_id uid ust_id ustid vatid steuernummer nummer numero siret siren cif nif "
    "referenz kennung kennzeichen referencia telefon telefono zaehler zahler account konto cuenta compte serial "
    "tracking batch lot pos row lfd steuernr artikelnr kundennr rechnungsnr "
    "belegnr bestellnr kontonr auftragsnr uscc aktenzeichen email mail website url pin invoiceno "
    "kenmerk postcode serienummer rekening rekeningnummer",
    "quantity": "quantity qty count cnt pcs units menge anzahl stuck stueck quantite nombre cantidad unidades hours "
    "stunden heures horas days tage weight gewicht poids peso usage consumption verbrauch consommation consumo kwh "
    "reading stand zaehlerstand zahlerstand volume colli packages pallets kilometers km liters volumen "
    "aantal hoeveelheid gewicht uren verbruik",
    "amount": "amount price total sum subtotal net gross tax vat fee fees cost costs charge charges discount balance "
    "paid due change cash tip deposit rounding shipping freight salary pay wage earnings deduction deductions credit "
    "debit payment refund betrag preis summe netto brutto gesamt steuer mwst ust rabatt saldo gebuhr gebuehr kosten "
    "lohn gehalt einzelpreis gesamtpreis zwischensumme montant prix somme ttc ht tva remise solde frais salaire "
    "importe precio suma neto bruto iva descuento saldo cargo abono salario unitprice totalprice linetotal "
    "subtotalprice cashprice changeprice taxprice discountprice etc_price ytd interest penalty premium "
    "skonto versand trinkgeld arrears withheld contribution bonus overtime "
    "vorschuss verdienst versicherung beitrag zuschlag zulage anzahlung pauschale auszahlung abzug bedrag prijs totaal "
    "btw korting loon salaris kosten voorschot premie",
    "text": "name type kind art status unit einheit unite unidad uom description desc beschreibung bezeichnung "
    "designation descripcion text note notes remark remarks bemerkung comment title method terms category language "
    "city stadt ort ville ciudad country land pays pais bank period time zeit uhrzeit hora heure purpose recipient "
    "zweck verwendungszweck company firma fournisseur lieferant vendor supplier seller merchant customer client kunde "
    "buyer store shop size format color carrier model words nm klasse "
    "omschrijving naam soort eenheid leverancier klant werkgever werknemer plaats opmerking",
}  # fmt: skip
# In Chinese keys the first of these that the key contains decides.
_CHINESE: tuple[tuple[str, Kind], ...] = (
    ("大写", "text"), ("开户行", "text"), ("税率", "rate"), ("征收率", "rate"), ("日期", "date"), ("时间", "text"),
    ("地址", "address"), ("币种", "currency"), ("货币", "currency"), ("号码", "identifier"), ("编号", "identifier"),
    ("识别号", "identifier"), ("代码", "identifier"), ("单号", "identifier"), ("账号", "identifier"),
    ("卡号", "identifier"), ("户号", "identifier"), ("税号", "identifier"), ("电话", "identifier"),
    ("校验码", "identifier"), ("规格", "text"), ("型号", "text"), ("数量", "quantity"), ("件数", "quantity"),
    ("用量", "quantity"), ("读数", "quantity"), ("重量", "quantity"), ("工时", "quantity"), ("单价", "amount"),
    ("金额", "amount"), ("税额", "amount"), ("合计", "amount"), ("总额", "amount"), ("余额", "amount"),
    ("小写", "amount"), ("价款", "amount"), ("运费", "amount"), ("折扣", "amount"), ("工资", "amount"),
    ("实收", "amount"), ("找零", "amount"), ("小计", "amount"), ("总计", "amount"), ("应付", "amount"),
    ("收入", "amount"), ("支出", "amount"), ("电费", "amount"), ("单位", "text"), ("名称", "text"), ("备注", "text"),
)  # fmt: skip
_COUNTED = re.compile(r"^(?:number_of|no_of|num_of|anzahl|nombre_de|numero_de|cantidad_de)_")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_ABBREVIATIONS = frozenset(
    {"vat", "iban", "bic", "id", "po", "sku", "ean", "gtin", "uid", "url", "swift", "tva", "iva"}
)
# A word of this length is also found at the end of a German compound: `rechnungsdatum`, `zahlerstand`.
_COMPOUND_CHARACTERS = 5


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in plain if not unicodedata.combining(character))


@lru_cache(maxsize=4096)
def words_of(key: str) -> tuple[str, ...]:
    """Return the words of a key in lower case without accents: `unitPrice` → unit, price."""
    return tuple(part for part in re.split(r"[\W_]+", _folded(_CAMEL.sub("_", key[:200]))) if part)


_KIND_OF_WORD: dict[str, Kind] = {word: kind for kind, words in _KIND_WORDS.items() for word in words.split()}
_COMPOUNDS = tuple(
    sorted((word for word in _KIND_OF_WORD if len(word) >= _COMPOUND_CHARACTERS), key=lambda word: -len(word))
)


def kind_of_key(key: str) -> tuple[Kind, str] | None:
    """Return the kind that a key suggests and the word that suggests it; None without a known word."""
    for word, kind in _CHINESE:
        if word in key:
            return kind, word
    words = words_of(key)
    joined = "_".join(words)
    if _COUNTED.match(f"{joined}_"):
        return "quantity", joined
    if len(words) > 1 and joined in _KIND_OF_WORD:
        return _KIND_OF_WORD[joined], joined
    for word in reversed(words):
        if found := _KIND_OF_WORD.get(word) or _KIND_OF_WORD.get(word.removesuffix("s")):
            return found, word
        for ending in _COMPOUNDS:
            if word.endswith(ending):
                return _KIND_OF_WORD[ending], ending
    return None


@dataclass(frozen=True)
class KeyPattern:
    """Words that a key can have: whole words, or Chinese words anywhere in it."""

    words: re.Pattern[str]
    chinese: tuple[str, ...]

    def matches(self, key: str) -> bool:
        """Return whether a key has one of the words."""
        return bool(self.words.search(joined_words(key))) or any(word in key for word in self.chinese)


def _pattern(words: str) -> KeyPattern:
    parts = words.split("|")
    latin = "|".join(part for part in parts if part.isascii())
    return KeyPattern(re.compile(rf"(?:^|_)(?:{latin})(?:_|$)"), tuple(part for part in parts if not part.isascii()))


# Keys by role, matched with the words of the key joined by `_`; a better match is earlier.
ROLE_PATTERNS: Mapping[Role, tuple[KeyPattern, ...]] = {
    "issuer": (
        _pattern("vendor|supplier|seller|merchant|issuer|lieferant|verkaufer|aussteller|fournisseur|vendeur|emetteur|"
                 "proveedor|vendedor|emisor|biller|provider|versorger|employer|arbeitgeber|absender|leverancier|verkoper|werkgever|afzender|store|shop|"
                 "销售方|销方|商户|商家|供应商|卖方|供电单位"),
        _pattern("company|firma|societe|empresa|bank|sender|carrier|店名|公司|银行"),
    ),
    "number": (
        _pattern(r"[a-z_]*(?:invoice|receipt|document|bill|order|po|note|statement|slip|voucher|ticket|transaction|"
                 r"dispatch|shipment)_(?:number|no|nr|num|id|ref|reference)|receiptno|"
                 r"(?:rechnungs|beleg|lieferschein|bestell|auftrags|dokument|abrechnung|abrechnungs|factuur|pakbon|order|bon)_?"
                 r"(?:nummer|nr)|"
                 r"numero_(?:de_)?(?:facture|factura|albaran|bon|commande|pedido)|(?:facture|factura)_(?:no|numero)|"
                 r"invoiceno|发票号码|单据号|单据编号|订单号|票据号码|送货单号|单号"),
        _pattern("number|nummer|nr|no|numero|编号"),
    ),
    "total": (
        _pattern("grand_total|amount_in_figures|amount_in_figuers|total_price_and_tax|net_pay|closing_balance|liquido|neto_a_percibir|价税合计"),
        _pattern("grand_total|total_amount|amount_total|invoice_total|total_due|amount_due|total_amount_due|"
                 "total_payable|gesamtbetrag|rechnungsbetrag|endbetrag|gesamtsumme|zahlbetrag|gesamt_brutto|"
                 "total_ttc|montant_total|importe_total|total_a_pagar|total_price|closing_balance|new_balance|endsaldo|"
                 "net_pay|net_salary|auszahlungsbetrag|net_paid|totaalbedrag|te_betalen|价税合计|价税合计小写|价税合计_小写|总金额|应付金额|"
                 "实付金额|期末余额|total_with_tax|total_incl_tax"),
        _pattern("total|gross|brutto|gesamt|summe|ttc|totaal|合计金额|总计|总额|合计"),
    ),
    "currency": (_pattern("currency|wahrung|waehrung|devise|moneda|divisa|ccy|币种|货币"),),
    "description": (
        _pattern("description|desc|beschreibung|bezeichnung|designation|descripcion|item_name|product_name|product|"
                 "article_name|artikel|nm|narration|details|particulars|verwendungszweck|名称|项目名称|货物名称|摘要|品名|"
                 "commodity_name|omschrijving|artikelomschrijving"),
        _pattern("name|item|text|title|libelle|concepto"),
    ),
    "quantity": (
        _pattern("quantity|qty|menge|anzahl|quantite|cantidad|cnt|count|num|units|hours|stunden|aantal|hoeveelheid|uren|数量"),
        _pattern("delivered|liefermenge|received|usage|consumption|用量"),
    ),
    "unit_price": (
        _pattern("unit_price|unitprice|price_per_unit|einzelpreis|stuckpreis|prix_unitaire|precio_unitario|rate_per_unit|stukprijs|"
                 "eenheidsprijs|stundensatz|hourly_rate|uurtarief|单价"),
        _pattern("price|preis|prix|precio|prijs"),
        _pattern("rate|satz|tarief"),
    ),
    "line_total": (
        _pattern("line_total|linetotal|total|total_price|totalprice|amount|gesamtpreis|gesamt|betrag|montant|importe|"
                 "net_amount|line_amount|sum|bedrag|regeltotaal|totaal|金额|总价|小计"),
        _pattern("price|preis|net|gross|netto|brutto|cost|credit|earnings|prijs"),
    ),
}  # fmt: skip

# Words that keep a key from a role, although it has a word of it.
ROLE_EXCLUSIONS: Mapping[Role, KeyPattern] = {
    "issuer": _pattern("buyer|customer|client|kunde|recipient|payee|account|id|no|number|code|vat|tax|phone|email|"
                       "address|iban|购买方|识别号|地址|电话|账号|开户行|购方"),
    "number": _pattern("account|tax|vat|customer|client|phone|fax|iban|article|item|page|line|meter|order_line|"
                       "kunden|steuer|zip|contract|konto|employee|of|购买方|校验码|税号"),
    "total": _pattern("sub|subtotal|tax|vat|net_total|discount|quantity|count|qty|weight|mwst|steuer|zwischensumme|"
                      "number|items|大写|税额|deductions|taxes|earnings|deducciones|devengado|abzuge|retenues|packages|hours|ytd|usage"),
    "currency": _pattern("rate"),
    "description": _pattern("unit|id|code|number|no|nr"),
    "quantity": _pattern("price|unit|amount"),
    "unit_price": _pattern("total|gesamt|unit_of"),
    "line_total": _pattern("unit|tax|vat|rate|discount|per|税额|einzel|quantity|balance|running"),
}  # fmt: skip

# Sums that the surest names of a total can mean nevertheless.
YEAR_TO_DATE = _pattern("ytd|year_to_date|words|大写")
# Common other names of a field with a role, for readers and column mappings.
ROLE_ALIASES: Mapping[str, Mapping[Role, tuple[str, ...]]] = {
    "en": {
        "issuer": ("vendor", "supplier", "seller", "merchant", "Lieferant"),
        "number": ("document_number", "document_no", "Belegnummer"),
        "total": ("total", "total_amount", "grand_total", "Gesamtbetrag"),
        "currency": ("currency", "Währung", "ccy"),
        "description": ("description", "desc", "item", "Bezeichnung"),
        "quantity": ("quantity", "qty", "Menge"),
        "unit_price": ("unit_price", "price", "Einzelpreis"),
        "line_total": ("line_total", "amount", "Gesamtpreis"),
    },
    "zh": {
        "issuer": ("销售方", "销售方名称", "商户名称"),
        "number": ("单据号", "编号"),
        "total": ("合计", "总额", "价税合计"),
        "currency": ("币种", "货币"),
        "description": ("名称", "项目名称", "品名"),
        "quantity": ("数量",),
        "unit_price": ("单价",),
        "line_total": ("金额", "小计"),
    },
}

# Names of values that a page does not show.
NOT_PRINTED = _pattern(
    "confidence|score|file_name|filename|file|image|uuid|created_at|updated_at|created_date|"
    "ocr_text|request_id|log_id|bbox|model|page_no"
)
# Words of amounts that belong to a sum, so that a sum over them is plausible.
SUMMED = _pattern("total|subtotal|net|gross|tax|taxes|vat|discount|discounts|shipping|freight|fee|fees|charge|charges|"
                  "deposit|tip|rounding|balance|opening|closing|credit|credits|debit|debits|deductions|deduction|"
                  "earnings|pay|salary|paid|cash|change|netto|brutto|mwst|steuer|ust|rabatt|versand|saldo|betrag|"
                  "summe|zwischensumme|gesamtbetrag|nettobetrag|steuerbetrag|ht|tva|ttc|remise|solde|iva|descuento|"
                  "subtotal_price|tax_price|service_price|total_price|cashprice|changeprice|usage|consumption|reading|"
                  "verbrauch|anfangssaldo|endsaldo|quantity|weight|price|amount|cost|arrears|interest|bonus|overtime|"
                 "金额|税额|合计|总额|余额|小计|实收|找零|应付|工资|收入|支出|数量|读数|用量|电费")  # fmt: skip
# Columns whose sum means nothing: the balance after each row, prices of one unit.
RUNNING = _pattern("balance|saldo|solde|running|unit_price|unitprice|einzelpreis|余额|单价")
# Keys of dates that a document's other dates follow or precede, from early to late.
DATE_RANKS: tuple[tuple[int, KeyPattern], ...] = (
    (0, _pattern("start|from|begin|begins|von|debut|desde|inicio|opening|起|开始日期|起始日期")),
    (1, _pattern("end|to|until|bis|fin|hasta|closing|止|结束日期|截止日期|终止日期")),
    (2, _pattern("order|ordered|bestelldatum|commande|pedido|订单日期")),
    (3, _pattern("invoice|issue|issued|bill|document|rechnungsdatum|belegdatum|facture|factura|statement|date|datum|"
                 "ausstellungsdatum|lieferscheindatum|开票日期|日期")),
    (4, _pattern("due|faellig|fallig|falligkeitsdatum|echeance|vencimiento|payable|expiry|expires|valid_until|"
                 "due_date|到期日|付款期限")),
)  # fmt: skip


def joined_words(key: str) -> str:
    """Return the words of a key joined by `_`, as the patterns of roles expect them."""
    return "_".join(words_of(key))


def title_of(key: str) -> str:
    """Return a title for people: `unitPrice` → Unit price; `购买方` stays."""
    words = [part for part in re.split(r"[\s_\-./]+", _CAMEL.sub(" ", key)) if part]
    text = " ".join(_titled(word) for word in words) or key
    text = "".join(character for character in text if character.isprintable())
    return f"{text[:1].upper()}{text[1:]}"[:80]


def _titled(word: str) -> str:
    if word.casefold() in _ABBREVIATIONS:
        return word.upper()
    return word if word.isupper() and len(word) > 1 else word.lower()
