"""Layout of the help screens: plain text, commands in groups, examples that can be copied."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from typer.core import TyperCommand, TyperGroup

from erniekit_adapter.cli.arguments import RETIRED_OPTIONS
from erniekit_adapter.errors import usage_error
from erniekit_adapter.terminal import one_line

_HELP_TEXT = "print this help and exit"


class Interrupted(BaseException):
    """Ctrl-C in a command; typer would end the program without a message."""


class OutputClosed(BaseException):
    """The reader of the output has ended, as in `erniekit-adapter … | head`."""


class Command(TyperCommand):
    """A command whose help ends with an example, and which explains the options of earlier versions."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse arguments.

        Raises:
            UsageError: an option of an earlier version.
        """
        own = {name for parameter in self.params for name in (*parameter.opts, parameter.metavar)}
        for argument in args:
            name = argument.partition("=")[0]
            replacement, hint = RETIRED_OPTIONS.get(name, ("", ""))
            if replacement in own:
                raise usage_error(name, "was removed", hint.format(command=ctx.command_path.partition(" ")[2]))
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line, with plain names for required arguments."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options."""
        _write_parameters(self, ctx, formatter)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples, one command on a line."""
        _write_examples(self.epilog, formatter)


class Group(TyperGroup):
    """A group whose help lists the commands in panels, in the order of the work."""

    panels: ClassVar[dict[str, tuple[str, ...]]]
    elsewhere: ClassVar[dict[str, str]] = {}  # command of the other group: how to run it

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse the arguments.

        Raises:
            Interrupted: Ctrl-C; typer would end the program without a message.
        """
        try:
            return super().make_context(info_name, args, parent, **extra)
        except KeyboardInterrupt as error:
            raise Interrupted from error
        except Exception as error:
            _make_printable(error)
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command.

        Raises:
            Interrupted, OutputClosed: instead of exceptions that typer handles without a message.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            raise Interrupted from error
        except BrokenPipeError as error:
            raise OutputClosed from error
        except Exception as error:
            _make_printable(error)
            raise

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command.

        Raises:
            UsageError: the command is in the other group.
        """
        name = args[0]
        if name not in self.commands and (command := self.elsewhere.get(name)):
            raise usage_error(name, f"is not a command of {ctx.command_path}", f"use {command}")
        return super().resolve_command(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """List the commands in the order of the panels."""
        return [name for names in self.panels.values() for name in names if name in self.commands]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, then the commands."""
        _write_parameters(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each panel with its commands and the first sentence of their help, not shortened."""
        width = max(map(len, self.commands))
        for title, names in self.panels.items():
            with formatter.section(title):
                helps = [(name, self.commands[name].get_short_help_str(limit=1000)) for name in names]
                formatter.write_dl([(name.ljust(width), text) for name, text in helps])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples, one command on a line."""
        _write_examples(self.epilog, formatter)


def _make_printable(error: Exception) -> None:
    """Replace the control characters in a usage error of typer, which can quote an argument.

    The class is in `click` or `typer._click`, depending on typer's version.
    """
    if hasattr(error, "format_message") and isinstance(getattr(error, "message", None), str):
        vars(error)["message"] = one_line(vars(error)["message"])


def _write_parameters(command: Any, ctx: Any, formatter: Any) -> None:
    """Write arguments by name, without their Python types, and options."""
    sections: dict[str, list[tuple[str, str]]] = {"argument": [], "option": []}
    for parameter in command.get_params(ctx):
        if record := parameter.get_help_record(ctx):
            name, text = record
            if parameter.param_type_name == "argument":
                name = name.partition(" <")[0]
            text = _HELP_TEXT if name == "--help" else text.replace("\\[", "[")  # typer 0.20 escapes for Rich
            sections[parameter.param_type_name].append((name, text))
    for title, records in sections.items():
        if records:
            with formatter.section(f"{title.capitalize()}s"):
                formatter.write_dl(records)


def _write_examples(epilog: str | None, formatter: Any) -> None:
    if epilog:
        with formatter.section("Examples"):
            for line in inspect.cleandoc(epilog).splitlines():
                formatter.write(f"{'':{formatter.current_indent}}{line}\n")
