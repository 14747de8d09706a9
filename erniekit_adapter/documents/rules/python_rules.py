"""Rule kind `python`: functions of a team's own package, found by entry points of the group `erniekit_adapter.rules`.

A function gets the content of a document as JSON (amounts are Decimal, dates ISO text) and returns True, False, None if
it cannot be checked, or a pair such as ("fail", "3 ≠ 4"). No code runs unless the project names its entry point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from importlib.metadata import entry_points
from typing import Any, get_args

from erniekit_adapter.documents.rules.context import Check, RuleContext
from erniekit_adapter.documents.verdict import Status, Verdict
from erniekit_adapter.errors import usage_error

GROUP = "erniekit_adapter.rules"
_KEY = "python_rules"
_MAX_DETAIL_CHARACTERS = 300

PythonRule = Callable[[dict[str, Any]], object]


def load_python_rules(names: tuple[str, ...]) -> Mapping[str, PythonRule]:
    """Return the functions of the entry points that a project names.

    Raises:
        UsageError: a name is not installed, or its import fails; the location is the key of the project file.
    """
    if not names:
        return {}
    installed = {point.name: point for point in entry_points(group=GROUP)}
    found: dict[str, PythonRule] = {}
    for name in names:
        if name not in installed:
            known = f"installed are {', '.join(sorted(installed))}" if installed else "none is installed"
            hint = f"install the package that has it, or remove the name; {known}"
            raise usage_error(_KEY, f"no entry point {name!r} of the group {GROUP}", hint)
        try:
            function = installed[name].load()
        except Exception as error:
            reason = f"the import of {installed[name].value} failed: {type(error).__name__}: {error}"
            raise usage_error(
                _KEY, reason[:_MAX_DETAIL_CHARACTERS], "correct the package, or remove the name"
            ) from error
        if not callable(function):
            raise usage_error(_KEY, f"{installed[name].value} is not a function", "name a function in the entry point")
        found[name] = function
    return found


def python_check(name: str, function: PythonRule | None) -> Check:
    """Return the check that calls a function; without one it is not checkable.

    An exception of the function is a finding: the document is neither right nor wrong.
    """

    def check(_: object, context: RuleContext) -> Verdict:
        if function is None:
            return "not checkable", f"switched off: add {name} to {_KEY} in the project file"
        try:
            # A copy, so that a function cannot change the document for other rules.
            return _verdict(function(deepcopy(dict(context.content))))
        except Exception as error:
            return "not checkable", _line(f"{name} failed with {type(error).__name__}: {error}")

    return check


def _verdict(returned: object) -> Verdict:
    if returned is None:
        return "not checkable", ""
    if isinstance(returned, bool):
        return "pass" if returned else "fail", ""
    if isinstance(returned, tuple) and len(returned) == 2 and returned[0] in get_args(Status):
        return returned[0], _line(str(returned[1]))
    return "not checkable", _line(f"returned {returned!r}, which is neither True, False, None nor a pair of texts")


def _line(text: str) -> str:
    return " ".join(text.split())[:_MAX_DETAIL_CHARACTERS]
