"""Check of chat templates. Templates are programs, and only some features of Jinja are allowed in a bundle.

Servers run a template in Jinja's sandbox. Attributes and the filter `attr` were ways out of it (CVE-2024-56326,
CVE-2025-27516). A chat template loops over messages and writes their text, so it does not need them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from erniekit_adapter.errors import Problem

if TYPE_CHECKING:
    import jinja2

_MAX_CHARACTERS = 100_000
_HINT = "use the template of the base model"
_FILTERS = frozenset({"attr", "map", "select", "reject", "selectattr", "rejectattr"})
_MAX_RANGE = 10_000


def template_problems(location: str, text: object) -> list[Problem]:
    """Return the problems of a chat template. The template is parsed and not run.

    Args:
        location: the file and key, for messages.
        text: the template, or a list of `{"name": …, "template": …}` as in tokenizer_config.json.
    """
    if isinstance(text, list) and text and all(isinstance(each, dict) for each in text):
        named = [each.get("template") for each in text]
        return [problem for each in named for problem in template_problems(location, each)]
    if not isinstance(text, str) or len(text) > _MAX_CHARACTERS:
        return [Problem(location, f"is not a template of at most {_MAX_CHARACTERS:,} characters", _HINT)]
    import jinja2

    try:
        tree = _environment().parse(text)
        found = sorted(set(_uses(tree)))
    except (jinja2.TemplateError, RecursionError) as error:
        return [Problem(location, f"is not a template: {str(error)[:200]}", _HINT)]
    return [Problem(location, f"uses {finding}, which no chat template needs", _HINT) for finding in found]


def _environment() -> jinja2.Environment:
    """Return an environment with the tags of transformers' chat templates."""
    import jinja2
    from jinja2.ext import Extension, loopcontrols

    class Generation(Extension):
        """`{% generation %}…{% endgeneration %}`, which marks the text that a model is trained on."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            """Parse the tag as the statements in it."""
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    # Templates are parsed here and never rendered, so escaping is not needed.
    return jinja2.Environment(extensions=[loopcontrols, Generation])  # noqa: S701


def _uses(tree: jinja2.nodes.Template) -> Iterator[str]:
    from jinja2 import nodes

    for loaded in tree.find_all((nodes.Import, nodes.FromImport, nodes.Include, nodes.Extends)):
        yield f"another template ({type(loaded).__name__.lower()})"
    for found in tree.find_all(nodes.Getattr):
        if found.attr.startswith("_"):
            yield f"the attribute {found.attr[:40]!r}"
    for used in tree.find_all(nodes.Filter):
        if used.name in _FILTERS and not _is_plain(used):
            yield f"the filter {used.name!r}"
    for const in tree.find_all(nodes.Const):
        if isinstance(const.value, str) and "__" in const.value:
            yield "a text with two underscores"
        if isinstance(const.value, int) and abs(const.value) > _MAX_RANGE:
            yield f"a number over {_MAX_RANGE:,}"


def _is_plain(node: jinja2.nodes.Filter) -> bool:
    """Return whether a filter that looks up attributes gets constant names only, and none that is private."""
    from jinja2 import nodes

    if node.name == "attr":
        return False
    given = [*node.args, *(keyword.value for keyword in node.kwargs)]
    return all(isinstance(each, nodes.Const) and not str(each.value).startswith("_") for each in given)
