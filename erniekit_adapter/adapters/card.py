"""The bundle's README.md: a model card in the Hub's form, from the manifest alone."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from erniekit_adapter.adapters.bundle_configs import is_folder_name
from erniekit_adapter.backends.keytable import TOOLKIT_NAMES

# The names that tables and the model card give the figures of results.json.
FIGURES = {
    "strict_json": "JSON validity",
    "schema_valid": "schema valid",
    "field_f1": "field F1",
    "line_item_f1": "line item F1",
    "rule_compliant": "rule compliance",
    "arithmetic_verified": "arithmetic rate",
}


def model_card(manifest: Mapping[str, Any]) -> str:
    """The card's text; every figure in it stands in the manifest, which may lack its files yet."""
    import jinja2

    text = resources.files(__package__).joinpath("model_card.md.jinja").read_text()
    # Markdown, not HTML: what is put in comes from our own manifest.
    environment = jinja2.Environment(  # noqa: S701
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["figure"] = figure
    toolkit = TOOLKIT_NAMES[manifest["training"]["toolkit"]["name"]]
    published = not is_folder_name(manifest["base_model"]["name"])
    return environment.from_string(text).render(
        manifest=manifest, toolkit=toolkit, figures=FIGURES, published=published
    )


def figure(value: float | None) -> str:
    """A measured figure as tables show it."""
    return "–" if value is None else f"{value:.3f}"
