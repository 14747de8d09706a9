"""The bundle's README.md: a model card for the Hugging Face hub, from the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Any

from erniekit_adapter.architectures.toolkits import TOOLKIT_NAMES
from erniekit_adapter.file_checks.configs import is_folder_name
from erniekit_adapter.metrics import shown_metrics


def model_card(manifest: Mapping[str, Any]) -> str:
    """Return the text of the model card. `files` of the manifest may be missing."""
    import jinja2

    text = resources.files(__package__).joinpath("model_card.md.jinja").read_text()
    # The output is Markdown, and the values come from the export stage.
    environment = jinja2.Environment(  # noqa: S701
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["figure"] = figure
    toolkit = TOOLKIT_NAMES[manifest["training"]["toolkit"]["name"]]
    published = not is_folder_name(manifest["base_model"]["name"])
    figures = {metric.name: metric.label for metric in shown_metrics()}
    return environment.from_string(text).render(
        manifest=manifest, toolkit=toolkit, figures=figures, published=published
    )


def figure(value: float | None) -> str:
    """Format a metric's value for tables."""
    return "–" if value is None else f"{value:.3f}"
