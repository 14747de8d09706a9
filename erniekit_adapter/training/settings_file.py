"""The resolved settings as a YAML file that ERNIEKit reads and a person can, each key with where it came from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import yaml

from erniekit_adapter.backends.erniekit import Settings
from erniekit_adapter.files import write_text


def write_settings(path: Path, settings: Settings, derived: Iterable[tuple[str, str, str]] = ()) -> None:
    """Write settings for ERNIEKit, followed by a table of what it overwrites or works out itself."""
    write_text(path, settings_text(settings, derived))


def settings_text(settings: Settings, derived: Iterable[tuple[str, str, str]] = ()) -> str:
    """The YAML text: one `key: value  # origin` a line.

    PyYAML writes floats as ERNIEKit needs them: `1.0e-05` is a number to its parser, `1e-05` would be text.
    """
    lines = ["# Made by erniekit-adapter from the project file; edit that, not this."]
    for key, setting in settings.items():
        value = yaml.safe_dump(setting.value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
        lines.append(f"{key}: {value}  # {setting.origin}")
    rows = list(derived)
    if rows:
        lines += ["", "# What ERNIEKit overwrites or works out by itself:"]
        lines += [f"#   {key:<28} {value:<34} {why}" for key, value, why in rows]
    return "\n".join(lines) + "\n"
