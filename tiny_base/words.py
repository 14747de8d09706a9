"""Vocabulary of the pretraining mix: invented words, everyday words, and unrelated English sentences."""

from __future__ import annotations

import random

_ONSETS = (
    *("b", "c", "d", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "z", "br", "cl", "dr"),
    *("fl", "gr", "kr", "pl", "qu", "sch", "sh", "sk", "sp", "st", "th", "tr", "", ""),
)
_VOWELS = ("a", "e", "i", "o", "u", "a", "e", "i", "o", "ai", "au", "ei", "ie", "oa", "ou", "y")
_CODAS = ("", "", "", "l", "n", "r", "s", "t", "m", "d", "k", "ck", "nd", "ng", "rn", "rt", "st", "ll", "lt", "x", "p")
_STREET_ENDS = {"de": ("strasse", "weg", "allee", "gasse"), "en": (" Street", " Road", " Lane", " Avenue")}
# Characters of pages and answers besides words and digits.
_MARKS = tuple("[]{}()<>\"'!?%&*|\\~^_≠×−–€£¥$§äöüÄÖÜßé")
_CITY_STEMS = ("ton", "burg", "ham", "ford", "stadt", "ville", "dorf", "mouth", "")

SENTENCES = (
    "Read the page below.",
    "You are a careful clerk.",
    "Please look at this document.",
    "The text comes from a scanner and may hold mistakes.",
    "Answer shortly.",
    "Use the words of the page and nothing else.",
    "Write amounts as numbers and dates as year, month and day.",
    "Analyse the document and check what it says.",
    "A customer sent us this by mail yesterday.",
    "Leave out what you do not find.",
    "Take your time and read every line twice.",
    "The office closes at five, so be quick.",
    "Find the seller, the buyer and the payment.",
    "Correct nothing; copy what is printed.",
    "Our accountant wants to know more about it.",
    "Rates are written as fractions, for example a quarter is 0.25.",
    "Fill in the form from the lines on the page.",
    "Taxes and discounts stand near the bottom.",
    "Line items stand in the middle of the page.",
    "The regions of a page are head, body and foot.",
    "It rained all morning and the post came late.",
    "Some pages are in German, others in English.",
    "Check that the numbers add up before you answer.",
    "The structure of the answer is up to the question.",
    "Give back what is asked for and keep the order of the question.",
    "Against all odds the printer worked today.",
    "Here is the data that we got.",
    "Validate the text with your own eyes.",
    "Do not guess.",
    "The image of the page was lost, the text is all we have.",
    "Every answer is used by another program.",
    "A summary is not needed.",
    "Preliminary results are fine.",
    "This page was read by a machine.",
    "Exactly one answer is expected.",
    "Subtotal plus taxes minus discounts makes the total.",
    "The client pays the vendor in the end.",
    "Information that is missed now is missed for ever.",
)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# Words of offices and shops, without order: names and keys are built from whole words and parts of them.
OFFICE_WORDS = _words(
    "account address agency amount answer april area article august balance bank batch block book box brand budget "
    "building business button buyer card care case cash catalogue center change charge check city class cleaning "
    "client clock code color column company computer contact contract copy cost country credit currency customer "
    "data date day debit decimal delivery department description design detail device digit discount document "
    "dollar door double draft driver electric email engine entry error euro event example export factory false "
    "field figure file final finance financial floor form format frame garden general glass goods grand group "
    "handle hardware head health height history holder home hotel hour house import index industry info "
    "information initial input insurance invoice issue issued issues item items january journal june key label "
    "labor language large ledger legal length letter level library license light limit line list local location "
    "logistics machine mail main manager march market material math maximum measure media member message metal "
    "method meter minimum minute mobile model money month name nature network note notes null number object "
    "office offer oil option orange order origin other output owner package page paint panel paper park part "
    "partner party payment pension percent period permit person phone picture pipe place plan plastic point "
    "policy post power premium price print private process product profile profit program project property "
    "public purchase quality quantity quarter question rate ratio reason receipt record reference region rental "
    "repair report request reserve result return review river road room rubber safety salary sale sample "
    "schedule school score season second section security seller sender service shape share sheet ship shop "
    "signature silver site size software source space special staff stage standard state station steel stock "
    "storage store street structure structured student subject subtotal sum summary supply support surface "
    "system table tax taxes team technology term terms test text ticket time title token tool total trade "
    "training transfer transport travel true trust type union unit update user valid valley validation value "
    "vehicle vendor verified version video view visit volume wage warehouse water week weight window winter "
    "wire wood work yard year zone "
    "abteilung akte anfrage angebot anlage antrag apparat arbeit artikel aufgabe aufsatz ausgabe bahn balken band "
    "bauer becken behaelter berater bericht betrieb bildung blatt blech boden bogen bolzen brett brief bruecke buch "
    "buerste dach dichtung dienst dose draht dreher ecke eimer eisen faden farbe fass feder feile feld fenster "
    "fertigung filter flansch flasche folie gabel gebiet gelenk geraet gewinde gitter griff grund gurt hafen hahn "
    "haken halle hammer haube heizung hobel huelse kanne kante karte kasten kegel keil kern kessel kette kiste klinge "
    "klotz knopf koffer kolben korb kraft kran kreis kugel kunde kurbel laden lampe lehre leiter linse loch luft "
    "mantel masse mauer meister messer miete mitte motor mulde mutter nadel nagel niete nuten ofen ordner platte "
    "pfosten pinsel polster presse probe pulver rad rahmen rand raum regal reifen riegel riemen rinne rost ruder "
    "saege sattel saeule schale schaufel scheibe schiene schild schirm schlauch schloss schnur schrank seil sieb "
    "spange speicher spindel spitze stange stecker stein stempel stift stoff strom stuhl tafel tank tasche teil "
    "tisch trommel tuch tuer turm uhr ventil verband versand vorrat waage wagen walze wanne welle winde wolle "
    "zange zapfen zeichen ziegel zug zylinder"
)


def word(rng: random.Random, most: int = 3) -> str:
    """Return an invented word of one to `most` syllables, in lower case, of at least three letters."""
    text = ""
    count = rng.randint(1, most)
    while count > 0 or len(text) < 3:
        text += rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS)
        count -= 1
    return text


def spliced(rng: random.Random) -> str:
    """Return the start of one everyday word with the end of another, so that every piece of the tokenizer occurs."""
    start, end = rng.sample(OFFICE_WORDS, 2)
    return start[: rng.randint(1, len(start))] + end[rng.randint(0, len(end) - 2) :]


def any_word(rng: random.Random, most: int = 2) -> str:
    """Return a word in lower case: invented from `most` syllables, spliced, or an everyday one."""
    kind = rng.random()
    if kind < 0.3:
        return word(rng, most)
    return spliced(rng) if kind < 0.65 else rng.choice(OFFICE_WORDS)


def name(rng: random.Random, most: int = 2) -> str:
    """Return a word with a capital letter."""
    return any_word(rng, most).capitalize()


def key(rng: random.Random) -> str:
    """Return a meaningless key in snake case of one to three words."""
    return "_".join(any_word(rng) for _ in range(rng.choice((1, 2, 2, 3))))


def jumble(rng: random.Random) -> str:
    """Return words, numbers and marks in random order, to be copied."""
    parts = []
    for _ in range(rng.randint(1, 8)):
        kind = rng.random()
        if kind < 0.7:
            parts.append(rng.choice((name, any_word))(rng))
        elif kind < 0.9:
            parts.append("".join(rng.choices("0123456789", k=rng.randint(1, 6))))
        else:
            parts.append(rng.choice(_MARKS))
        parts.append(rng.choice((" ", " ", " ", "_", "-", ", ", ": ", ".", "/", "", "@", " + ", "#", " = ", "; ")))
    return "".join(parts[:-1])


def street(rng: random.Random, language: str) -> str:
    """Return an invented street, with an ending of this language."""
    return name(rng) + rng.choice(_STREET_ENDS[language])


def city(rng: random.Random) -> str:
    """Return an invented city."""
    return name(rng) + rng.choice(_CITY_STEMS)


def description(rng: random.Random, language: str) -> str:
    """Return an item description: one long word in German, one to three words in English."""
    if language == "de":
        return name(rng, 2) + any_word(rng, 2)
    return " ".join([name(rng), *(any_word(rng, 2) for _ in range(rng.choice((0, 1, 1, 1, 2))))])


def prose(rng: random.Random, most_words: int = 60) -> str:
    """Return sentences in random order, `most_words` words at most, often none."""
    budget, chosen = rng.randint(0, most_words), []
    for sentence in rng.sample(SENTENCES, 12):
        budget -= len(sentence.split())
        if budget < 0:
            break
        chosen.append(sentence)
    return " ".join(chosen)
