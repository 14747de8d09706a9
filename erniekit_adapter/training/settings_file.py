"""Write the toolkit's settings as YAML, each key with a comment that names its origin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from erniekit_adapter.backends.settings import Setting, Settings
from erniekit_adapter.files import write_text
from erniekit_adapter.project.loading import Places

Derived = Iterable[tuple[str, str, str]]


def write_settings(path: Path, settings: Settings, derived: Derived = ()) -> None:
    """Write the settings of a toolkit, followed by a table of the values that it overwrites or computes."""
    write_text(path, settings_text(settings, derived))


def settings_text(
    settings: Settings,
    derived: Derived = (),
    places: Places | None = None,
    left_open: Mapping[str, str] | None = None,
) -> str:
    """Return the settings as YAML, one `key: value  # origin` a line.

    PyYAML writes floats as the toolkits need them: their parser reads `1.0e-05` as a number, but `1e-05` as text.

    Args:
        settings: settings for the toolkit.
        derived: values that the toolkit overwrites or computes: (key, value, reason).
        places: file and line of each key that the project gives; None to leave them out.
        left_open: settings that are not known yet, each with its reason; they become comments.
    """
    lines = ["# Written by erniekit-adapter from the project file. Edit the project file instead."]
    unknown = dict(left_open or {})
    for key, setting in settings.items():
        if key not in unknown:
            lines.append(f"{key}: {_yaml(setting.value)}  # {provenance(setting, places)}")
    if unknown:
        lines += ["", "# Not known yet:"]
        guesses = {key: f"{_yaml(settings[key].value)}?" if key in settings else "?" for key in unknown}
        lines += [f"#   {key:<28} {guesses[key]:<34} depends on {reason}" for key, reason in unknown.items()]
    rows = list(derived)
    if rows:
        lines += ["", "# Overwritten or computed by the toolkit:"]
        lines += [f"#   {key:<28} {value:<34} {reason}" for key, value, reason in rows]
    return "\n".join(lines) + "\n"


def provenance(setting: Setting, places: Places | None = None) -> str:
    """Return the origin of a setting: `mine.yaml:12 training.seed`, `default training.seed`, `rule: one process`."""
    if places is None:
        return setting.origin
    given = [f"{places[key]} {key}" for key in setting.keys if key in places]
    # If several keys decide together, the given ones are named; a key of another file already contains its place.
    named = given or [key if " " in key else f"default {key}" for key in setting.keys[:1]]
    return "; ".join([*named, *([f"rule: {setting.rule}"] if setting.rule else [])])


def differences(ours: Settings, theirs: Settings, names: tuple[str, str]) -> str:
    """Return the differences between the settings of two projects as a diff; empty if they are equal.

    Args:
        ours: settings of the first project.
        theirs: settings of the second project.
        names: names of both projects.
    """
    lines = []
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        before, after = ours.get(key), theirs.get(key)
        if before and after and (type(before.value), before.value) == (type(after.value), after.value):
            continue
        lines += [f"- {key}: {_yaml(before.value)}  # {before.origin}"] if before else []
        lines += [f"+ {key}: {_yaml(after.value)}  # {after.origin}"] if after else []
    return "\n".join([f"--- {names[0]}", f"+++ {names[1]}", *lines]) + "\n" if lines else ""


def _yaml(value: object) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
