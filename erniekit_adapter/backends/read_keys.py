"""Make a key table from an installed toolkit: `python -m erniekit_adapter.backends.read_keys erniekit PYTHON`.

docs/toolkits.md lists the steps that add a version. `tests/toolkit/test_key_tables.py` compares the tables in `keys`
with the toolkits in the environments that `erniekit-adapter setup` makes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from erniekit_adapter.architectures.toolkits import Backend
from erniekit_adapter.backends.environments.variables import toolkit_variables, worker_command
from erniekit_adapter.backends.key_tables import TABLES_FOLDER
from erniekit_adapter.errors import failure
from erniekit_adapter.files import write_text

_TIMEOUT_S = 300


def read_table(backend: Backend, python: Path, home: Path | None = None) -> dict[str, Any]:
    """Return the versions and the keys of a toolkit: `{"erniekit": …, "train": {key: [type, default]}, "export": …}`.

    Args:
        backend: the toolkit.
        python: the interpreter of its environment.
        home: a checkout of ERNIEKit that comes first on its path.

    Raises:
        AdapterError: the toolkit's parser cannot be imported.
    """
    command = worker_command(python, "settings_keys", backend)
    done = subprocess.run(
        command, env=toolkit_variables(home), capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        raise failure(python, f"cannot import the settings parser of {backend}: {done.stderr.strip()[-400:]}")
    table: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return table


def table_text(table: Mapping[str, Any]) -> str:
    """Return a key table as JSON with one key per line, so that versions can be compared with diff."""
    parts = []
    for name, value in table.items():
        if isinstance(value, dict):
            keys = (f"  {json.dumps(key)}: {json.dumps(declared)}" for key, declared in value.items())
            parts.append(f" {json.dumps(name)}: {{\n" + ",\n".join(keys) + "\n }")
        else:
            parts.append(f" {json.dumps(name)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m erniekit_adapter.backends.read_keys", description=main.__doc__)
    parser.add_argument("backend", choices=get_args(Backend))
    parser.add_argument("python", type=Path, help="interpreter of the toolkit's environment")
    parser.add_argument("--home", type=Path, help="git checkout of ERNIEKit, if it is not installed")
    parser.add_argument("--version", help="version in the name of the file; by default that of the distribution")
    options = parser.parse_args()
    table = read_table(options.backend, options.python, options.home)
    path = TABLES_FOLDER / f"{options.backend}-{options.version or table[options.backend]}.json"
    write_text(path, table_text(table))
    print(path)


if __name__ == "__main__":
    main()
