from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("name", ["stdnum", "erniekit_adapter.documents.declared.folder", "data_tools.visibility.rows"])
def test_a_build_of_invoices_imports_no_declared_types(name: str) -> None:
    """Every worker process of a build imports its modules again."""
    code = f"import sys, data_tools.pipeline.build; sys.exit({name!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
