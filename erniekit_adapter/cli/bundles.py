"""Commands for bundles and adapters: verify, sign, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from erniekit_adapter.cli.arguments import BundleFolder, Overrides, ProjectFile, Trust
from erniekit_adapter.cli.groups import app
from erniekit_adapter.cli.layout import Command
from erniekit_adapter.errors import usage_error
from erniekit_adapter.terminal import echo

PythonRules = Annotated[
    list[str],
    typer.Option(metavar="NAME", help="entry point that a rule of the document type may use", show_default=False),
]


@app.command(
    cls=Command,
    epilog="""
    erniekit-adapter verify runs/demo/bundle --trust unsigned
    erniekit-adapter verify bundle --public-key public.pem --counter-file seen.json
    """,
)
def verify(
    bundle: BundleFolder,
    public_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="require a signature by this key (PEM)", show_default=False)
    ] = None,
    base: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="folder of the base model", show_default=False)
    ] = None,
    trust: Annotated[Trust, typer.Option(help="unsigned: accept a bundle without a signature")] = "signed",
    counter_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="stores the highest counter, to refuse older bundles", show_default=False),
    ] = None,
    python_rule: PythonRules = [],
) -> None:
    """Check the signature and every file of a bundle, and that it contains only data.

    Writes nothing, except to --counter-file.
    """
    from erniekit_adapter.bundle.counters import remember
    from erniekit_adapter.bundle.verify import verify

    if counter_file and not public_key:
        raise usage_error("--counter-file", "needs --public-key", "give the public key of the signature")
    found = verify(bundle, public_key, base, trust=trust, counter_file=counter_file, python_rules=tuple(python_rule))
    signed = f"signed, counter {found.manifest.get('counter', 'none')}" if found.key else "not signed"
    echo(f"✓ {found.path}: {found.files} files, {found.size_bytes:,} bytes, identity {found.identity}, {signed}")
    if found.document_type.digest:
        echo(f"  document type: {found.document_type.name}, {found.document_type.digest}")
    if counter_file:
        remember(counter_file, found.key, found.manifest["counter"])
    for name in found.unchecked:
        echo(f"⊘ {name}: not checked when it was exported")


@app.command(
    cls=Command,
    epilog="""
    erniekit-adapter sign runs/demo/bundle --key-file private.pem
    erniekit-adapter sign runs/demo/bundle --key-variable SIGNING_KEY
    """,
)
def sign(
    bundle: BundleFolder,
    key_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="file with the private key (PEM)", show_default=False)
    ] = None,
    key_variable: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="environment variable with the private key (PEM)", show_default=False),
    ] = None,
    counter: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="higher than in every earlier bundle; default: the time", show_default=False
        ),
    ] = None,
    python_rule: PythonRules = [],
) -> None:
    """Sign a bundle with an Ed25519 key.

    Writes the signature beside the manifest of the bundle, and a counter into the manifest.
    """
    from erniekit_adapter.bundle.signing import sign

    if (key_file is None) == (key_variable is None):
        raise usage_error("sign", "needs either --key-file or --key-variable", "give one of them")
    sign(bundle, key_file=key_file, key_variable=key_variable, counter=counter, python_rules=tuple(python_rule))
    echo(f"signed {bundle}")


@app.command(
    "import",
    cls=Command,
    epilog="erniekit-adapter import project.yaml runs/demo/bundle/peft --output runs/imported",
)
def import_peft(
    file: ProjectFile,
    peft: Annotated[Path, typer.Argument(metavar="PEFT", help="folder of a PEFT adapter", show_default=False)],
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="folder to write", show_default=False)],
    overrides: Overrides = [],
) -> None:
    """Convert a PEFT adapter for the toolkit, to train from it.

    Writes the adapter with the tensor names of the toolkit into --output.
    """
    from erniekit_adapter.files import read_json
    from erniekit_adapter.layouts.adapter_files import write_from_peft
    from erniekit_adapter.project.loading import load_project
    from erniekit_adapter.project.model_folder import local_model_dir

    project = load_project(file, overrides)
    write_from_peft(peft, read_json(local_model_dir(project) / "config.json"), output, project.backend)
    echo(f"adapter: {output}\nto train from it, set {project.backend}.extra.lora_path: {output.resolve()}")
