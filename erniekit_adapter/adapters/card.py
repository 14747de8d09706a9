"""The bundle's README.md: a model card in the Hub's form, from the manifest alone."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from erniekit_adapter.backends.keytable import TOOLKIT_NAMES
from erniekit_adapter.project.catalogue import is_local


def model_card(manifest: Mapping[str, Any], figures: Mapping[str, str]) -> str:
    """The card's text; every figure in it stands in the manifest.

    Args:
        manifest: what the manifest says, but for its files.
        figures: the names of measured figures, by their keys.
    """
    import jinja2

    text = resources.files(__package__).joinpath("model_card.md.jinja").read_text()
    # Markdown, not HTML: what is put in comes from our own manifest.
    environment = jinja2.Environment(  # noqa: S701
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["figure"] = lambda value: "–" if value is None else f"{value:.3f}"
    toolkit = TOOLKIT_NAMES[manifest["training"]["toolkit"]["name"]]
    return environment.from_string(text).render(
        manifest=manifest, toolkit=toolkit, figures=figures, published=not is_local(manifest["base_model"]["name"])
    )
