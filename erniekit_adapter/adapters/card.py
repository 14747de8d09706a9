"""The bundle's README.md: a model card in the Hub's form, from the manifest alone."""

from __future__ import annotations

from importlib import resources
from typing import Any

from erniekit_adapter.backends.keytable import TOOLKIT_NAMES


def model_card(manifest: dict[str, Any]) -> str:
    """The card's text; every figure in it stands in the manifest."""
    import jinja2

    text = resources.files(__package__).joinpath("model_card.md.jinja").read_text()
    # Markdown, not HTML: what is put in comes from our own manifest.
    environment = jinja2.Environment(  # noqa: S701
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    toolkit = TOOLKIT_NAMES[manifest["training"]["toolkit"]["name"]]
    return environment.from_string(text).render(manifest=manifest, toolkit=toolkit)
