"""Vocabulary of synthetic invoices: places, names, goods, terms. ASCII only, like Pillow's built-in font."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class Country:
    """Country of a vendor.

    Attributes:
        currency: ISO 4217 code.
        languages: invoice languages; a repeated one is more common.
        tax_rates: in percent; a repeated one is more common.
        legal_forms: endings of company names.
        cities: (city, first digits of its postal codes).
        postal_digits: length of a postal code.
        dial: country prefix of telephone numbers.
    """

    currency: str
    languages: tuple[str, ...]
    tax_rates: tuple[Decimal, ...]
    legal_forms: tuple[str, ...]
    cities: tuple[tuple[str, str], ...]
    postal_digits: int
    dial: str


def _percents(*rates: str) -> tuple[Decimal, ...]:
    return tuple(Decimal(rate) for rate in rates)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


COUNTRIES: dict[str, Country] = {
    "DE": Country(
        "EUR",
        ("de", "de", "de", "en"),
        _percents("19.0", "19.0", "7.0", "0.0"),
        ("GmbH", "AG", "KG", "UG"),
        (
            ("Leipzig", "041"),
            ("Berlin", "101"),
            ("Hamburg", "200"),
            ("Bremen", "281"),
            ("Dresden", "010"),
            ("Kassel", "341"),
        ),
        5,
        "+49",
    ),
    "AT": Country(
        "EUR",
        ("de", "de", "en"),
        _percents("20.0", "20.0", "10.0", "0.0"),
        ("GmbH", "AG", "OG"),
        (("Wien", "10"), ("Graz", "80"), ("Linz", "40"), ("Salzburg", "50"), ("Villach", "95")),
        4,
        "+43",
    ),
    "NL": Country(
        "EUR",
        ("en",),
        _percents("21.0", "21.0", "9.0", "0.0"),
        ("BV", "NV"),
        (("Utrecht", "35"), ("Rotterdam", "30"), ("Delft", "26"), ("Breda", "48"), ("Arnhem", "68")),
        4,
        "+31",
    ),
    "US": Country(
        "USD",
        ("en",),
        _percents("8.25", "7.0", "6.5", "0.0"),
        ("Inc", "LLC", "Corp"),
        (
            ("Austin", "787"),
            ("Denver", "802"),
            ("Boston", "021"),
            ("Portland", "972"),
            ("Tampa", "336"),
            ("Omaha", "681"),
        ),
        5,
        "+1",
    ),
    "GB": Country(
        "GBP",
        ("en",),
        _percents("20.0", "20.0", "5.0", "0.0"),
        ("Ltd", "PLC", "LLP"),
        (("Leeds", "LS"), ("Bristol", "BS"), ("York", "YO"), ("Exeter", "EX"), ("Norwich", "NR"), ("Derby", "DE")),
        3,
        "+44",
    ),
    "JP": Country(
        "JPY",
        ("en",),
        _percents("10.0", "10.0", "8.0"),
        ("KK", "Co Ltd", "GK"),
        (
            ("Osaka", "530"),
            ("Kyoto", "600"),
            ("Nagoya", "450"),
            ("Sendai", "980"),
            ("Kobe", "650"),
            ("Yokohama", "220"),
        ),
        7,
        "+81",
    ),
    "CH": Country(
        "CHF",
        ("de", "de", "en"),
        _percents("8.1", "8.1", "2.6", "0.0"),
        ("AG", "GmbH", "SA"),
        (("Bern", "30"), ("Basel", "40"), ("Zug", "63"), ("Luzern", "60"), ("Chur", "70"), ("Olten", "46")),
        4,
        "+41",
    ),
}
# Weights of the vendors' countries: the euro area and the dollar are most common, every currency occurs.
COUNTRY_SHARES = {"DE": 5, "AT": 2, "NL": 2, "US": 5, "GB": 3, "JP": 3, "CH": 3}

NAME_STEMS = _words(
    "Alder Amber Anchor Arctis Argon Aurora Beacon Berger Borealis Brandt Castell Cedar Cobalt Corvus Delta "
    "Eberle Elbe Ember Falken Fischer Forster Garnet Granit Halden Harbor Hansen Helix Iris Jasper Juniper Keller "
    "Krone Lanz Larch Lindner Lumen Maple Meridian Merkur Morgen Nexus Nordwind Oakley Onyx Orion Pelikan "
    "Pinnacle Quarz Radler Raven Rhein Ridge Sander Sigma Stern Summit Tannen Tideway Ulmer Umbra Vega Vogel "
    "Walden Weber Willow Winter Yarrow Zenit Zephyr"
)
TRADES = {
    "de": _words(
        "Bau Bauteile Bedarf Druck Elektro Energie Fracht Garten Handel Holz Industrie Kabel Keramik Labor Licht "
        "Logistik Medien Metall Optik Papier Pumpen Stahl Technik Textil Transport Verlag Werkzeug"
    ),
    "en": _words(
        "Bearings Books Cables Catering Ceramics Consulting Design Electric Energy Farms Fasteners Foods Freight "
        "Glass Labs Lighting Logistics Media Metals Optics Paper Plastics Pumps Security Software Supply Textiles "
        "Tools Trading"
    ),
}
STREETS = {
    "de": tuple(
        first + last
        for first in _words(
            "Ahorn Bahnhof Birken Eichen Garten Hafen Kirch Linden Markt Park Rosen Schul See Ufer Wald"
        )
        for last in ("strasse", "weg", "allee", "gasse")
    ),
    "en": tuple(
        f"{first} {last}"
        for first in _words(
            "Abbey Bridge Canal Chapel Church Garden Hill King Lake Mill Oak Orchard Park Queen River Station"
        )
        for last in ("Street", "Road", "Lane", "Avenue")
    ),
}
GOODS = {
    "de": tuple(
        first + last
        for first in _words("Stahl Holz Kupfer Alu Glas Kunststoff Messing Gummi Beton Keramik Karbon Zink Blech Filz")
        for last in _words("winkel platten rohre leisten deckel ringe schrauben klammern profile rahmen rollen griffe")
    ),
    "en": tuple(
        f"{first} {last}"
        for first in _words("Steel Oak Copper Alloy Glass Nylon Brass Rubber Coated Ceramic Carbon Zinc Folding Padded")
        for last in _words("bracket panel pipe hinge lid ring bolt clamp profile frame roller handle valve")
    ),
}
SERVICES = {
    "de": tuple(
        first + last
        for first in _words(
            "Wartungs Beratungs Montage Planungs Reise Test Projekt Lager Druck Reinigungs Transport Schulungs"
        )
        for last in ("stunden", "pauschale", "leistung", "auftrag", "tage")
    ),
    "en": tuple(
        f"{first} {last}"
        for first in _words(
            "Repair Design Setup Planning Travel Testing Project Storage Printing Cleaning Support Training"
        )
        for last in ("hours", "fee", "service", "package", "days")
    ),
}
TERMS = {
    "de": ("{days} Tage netto", "Zahlbar binnen {days} Tagen", "Netto {days} Tage"),
    "en": ("Net {days} days", "Payable within {days} days", "{days} days net"),
}
NOTES = {
    "de": ("Bestellung {number}", "Lieferschein {number}", "Auftrag {number}"),
    "en": ("Order {number}", "Your reference {number}", "Delivery note {number}"),
}
