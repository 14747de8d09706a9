"""Arguments that several commands share, and the choices of options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

ProjectFile = Annotated[Path, typer.Argument(metavar="PROJECT", help="project file (YAML)", show_default=False)]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="override a key: training.max_steps=10; repeatable",
        show_default=False,
    ),
]
DataFolder = Annotated[
    Path,
    typer.Argument(metavar="FOLDER", help="data folder, or the output_dir of a project", show_default=False),
]
BundleFolder = Annotated[Path, typer.Argument(metavar="BUNDLE", help="folder of a bundle", show_default=False)]

# Options of earlier versions: the argument or option that replaces each, and the hint.
RETIRED_OPTIONS = {
    "--project": ("PROJECT", "give the project file without an option: erniekit-adapter {command} PROJECT"),
    "--output-dir": ("FOLDER", "give the data folder without an option: erniekit-adapter {command} FOLDER"),
    "--no-restart": ("--restart", "leave it out: {command} resumes by default"),
    "--no-allow-unproven": ("--allow-unchecked", "leave it out: erniekit-adapter {command} PROJECT"),
    "--gate": ("--filter", "use --filter: erniekit-adapter {command} FOLDER --filter NAME"),
    "--allow-unproven": (
        "--allow-unchecked",
        "use --allow-unchecked: erniekit-adapter {command} PROJECT --allow-unchecked",
    ),
}

# The choices of options; tests/cli/test_help.py compares them with the project schema.
Trust = Literal["signed", "unsigned"]
Split = Literal["train", "eval", "test"]
Task = Literal["analysis", "extraction", "validation"]
Arithmetic = Literal["error", "warn"]
OcrEngine = Literal["rapidocr", "none"]
DecimalMark = Literal["comma", "point"]
