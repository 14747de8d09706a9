"""Start a worker in a toolkit's environment: `PYTHON …/workers/start.py NAME ARGUMENTS…`.

Workers import each other and a few pure modules of this package by their full names. The obvious way to make that work,
the package's parent folder on PYTHONPATH, is wrong for an installed copy: that folder is site-packages, and our numpy
and pydantic would come before the toolkit's own. This script registers the package and leaves `sys.path` as it is, so a
toolkit's process can import `erniekit_adapter` and nothing else of ours. No files are copied, so none can be outdated.
A process that is started with the `spawn` method runs this module again, so it finds the package too.
"""

import importlib
import importlib.util
import sys
from pathlib import Path

WORKERS = Path(__file__).resolve().parent
PACKAGE = "erniekit_adapter"


def register_package() -> None:
    """Make the package importable by name, and take the folder of this script, which Python added, off the path."""
    sys.path[:] = [folder for folder in sys.path if not folder or Path(folder).resolve() != WORKERS]
    folder = WORKERS.parent
    spec = importlib.util.spec_from_file_location(
        PACKAGE, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"no package in {folder}")
    package = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


if PACKAGE not in sys.modules:
    register_package()

if __name__ == "__main__":
    del sys.argv[0]
    importlib.import_module(f"{PACKAGE}.workers.{sys.argv[0]}").main()
