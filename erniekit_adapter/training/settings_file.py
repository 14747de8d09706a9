"""The resolved settings as a YAML file that a toolkit reads and a person can, each key with where it came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from erniekit_adapter.backends.settings import Setting, Settings
from erniekit_adapter.files import write_text
from erniekit_adapter.project.loading import Places

Derived = Iterable[tuple[str, str, str]]


def write_settings(path: Path, settings: Settings, derived: Derived = ()) -> None:
    """Write settings for a toolkit, followed by a table of what it overwrites or works out itself."""
    write_text(path, settings_text(settings, derived))


def settings_text(
    settings: Settings,
    derived: Derived = (),
    places: Places | None = None,
    left_open: Mapping[str, str] | None = None,
) -> str:
    """The YAML text: one `key: value  # origin` a line.

    PyYAML writes floats as the toolkits need them: `1.0e-05` is a number to their parser, `1e-05` would be text.

    Args:
        settings: what the toolkit is given.
        derived: what it overwrites or works out by itself: (key, value, why).
        places: where each project key was given, for provenance by line; None where that is not known.
        left_open: keys whose value is not known yet, each with what it depends on; they become comments.
    """
    lines = ["# Made by erniekit-adapter from the project file; edit that, not this."]
    unknown = dict(left_open or {})
    for key, setting in settings.items():
        if key not in unknown:
            lines.append(f"{key}: {_yaml(setting.value)}  # {provenance(setting, places)}")
    if unknown:
        lines += ["", "# Not known yet:"]
        guesses = {key: f"{_yaml(settings[key].value)}?" if key in settings else "?" for key in unknown}
        lines += [f"#   {key:<28} {guesses[key]:<34} depends on {what}" for key, what in unknown.items()]
    rows = list(derived)
    if rows:
        lines += ["", "# What the toolkit overwrites or works out by itself:"]
        lines += [f"#   {key:<28} {value:<34} {why}" for key, value, why in rows]
    return "\n".join(lines) + "\n"


def provenance(setting: Setting, places: Places | None = None) -> str:
    """Where a setting comes from: `mine.yaml:12 training.seed`, `default training.seed`, or `rule: one process`."""
    if places is None:
        return setting.origin
    given = [f"{places[key]} {key}" for key in setting.keys if key in places]
    # Of several keys that decide together, one that is given says more than those that are not; a key of a file beside
    # the project says its place itself.
    told = given or [key if " " in key else f"default {key}" for key in setting.keys[:1]]
    return "; ".join([*told, *([f"rule: {setting.rule}"] if setting.rule else [])])


def differences(ours: Settings, theirs: Settings, names: tuple[str, str]) -> str:
    """What two projects' settings differ in, a key at a time, in the manner of diff; empty when in nothing.

    Args:
        ours, theirs: the settings.
        names: of the two projects.
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
