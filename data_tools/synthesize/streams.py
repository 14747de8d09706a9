"""Random streams: each concern draws from its own generator, so that a change of one concern does not shift another.

| stream | concern |
| --- | --- |
| seed, index | content of the invoice, then its fault; one of the first four page layouts |
| `page layout`, name, seed, index | whether an invoice gets a page layout that was added later |
| `labels`, invoice number | labels on the page |
| `extracted`, `log`, `mistake`, `reviewer`, invoice number | records of the service's log |

The draws of an existing stream must not change: their order decides which invoices a seed gives. A new choice takes a
new stream, named after its concern.
"""

from __future__ import annotations

import random


def random_stream(*key: object) -> random.Random:
    """Return a generator that depends on `key` only."""
    return random.Random(":".join(str(part) for part in key))  # noqa: S311 - training content, not secrets
