"""Small PDFs that take excessive time or memory to read, each by another feature of PDF."""

from __future__ import annotations

import zlib

from einvoice_examples import pdf_of

_MIB = 1024 * 1024
_CATALOGUE = b"<</Type /Catalog /Pages 2 0 R>>"
_PAGES = b"<</Type /Pages /Count 1 /Kids [3 0 R]>>"


def swelling_attachment(size_mib: int) -> bytes:
    """Return a PDF with an attachment of zeros that is compressed twice: a gigabyte takes 2 kB."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(_MIB)) for _ in range(size_mib)) + packer.flush()
    return pdf_of(
        [
            b"<</Type /Catalog /Pages 2 0 R /Names <</EmbeddedFiles <</Names [(a) 4 0 R]>>>>>>",
            _PAGES,
            b"<</Type /Page /Parent 2 0 R /MediaBox [0 0 9 9]>>",
            b"<</Type /Filespec /F (a) /UF (a) /EF <</F 5 0 R>>>>",
            _stream(zlib.compress(packed, 9), b"/Type /EmbeddedFile /Filter [/FlateDecode /FlateDecode]"),
        ]
    )


def nested_forms(depth: int = 10, times: int = 10) -> bytes:
    """Return a PDF with nested forms, each of which draws the next one several times."""
    forms = [
        _stream(b"/X Do " * times, b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] " + _uses(number))
        for number in range(6, 5 + depth)
    ]
    innermost = _stream(b"0 0 9 9 re f", b"/Type /XObject /Subtype /Form /BBox [0 0 9 9]")
    return pdf_of([_CATALOGUE, _PAGES, _page(b""), _stream(b"/X Do"), *forms, innermost])


def slow_page(times: int = 20_000) -> bytes:
    """Return a page that draws a half transparent form many times, which takes time but no memory."""
    form = b"/Type /XObject /Subtype /Form /BBox [0 0 600 800] /Group <</S /Transparency /I true>>"
    shown = zlib.compress(b"/G gs " + b"/X Do " * times, 9)
    return pdf_of(
        [
            _CATALOGUE,
            _PAGES,
            _page(b"/ExtGState <</G <</ca 0.5>>>>"),
            _stream(shown, b"/Filter /FlateDecode"),
            _stream(b"0 0 600 800 re f", form),
        ]
    )


def _page(resources: bytes) -> bytes:
    own = b"/Resources <</XObject <</X 5 0 R>> %b>> /Contents 4 0 R" % resources
    return b"<</Type /Page /Parent 2 0 R /MediaBox [0 0 600 800] %b>>" % own


def _uses(number: int) -> bytes:
    return b"/Resources <</XObject <</X %d 0 R>>>>" % number


def _stream(content: bytes, entries: bytes = b"") -> bytes:
    return b"<</Length %d %b>> stream\n%b\nendstream" % (len(content), entries, content)
