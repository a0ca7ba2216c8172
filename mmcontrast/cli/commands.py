"""Groups and commands of typer whose modules are imported only when they are asked for."""

import importlib
import os
import re
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from mmcontrast.cli.output import discard_after_mistakes
from mmcontrast.cli.terminal import say

# Options of version 0.1 and their names now; "" stands for an argument without a name.
_RENAMED = {
    "--at": "--points",
    "--bf16": "--dtype=bfloat16",
    "--image": "",
    "--image-size": "--resolution",
    "--run-dir": "--out",
    "--test": "--test-data",
    "--train": "--train-data",
}

# The command that runs and the values of its options.
_running: ContextVar[tuple[str, dict[str, Any]]] = ContextVar("running", default=("", {}))


def running_command() -> tuple[str, dict[str, Any]]:
    """Returns the name of the command that runs, such as "eval knn", and the values of its parameters."""
    return _running.get()


class Command(TyperCommand):
    """A command with help in plain text; indented lines of its docstring are printed as they are."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Reads the arguments; takes renamed options with a note, and refuses a list that comes twice."""
        names = {name: parameter for parameter in self.params for name in parameter.opts}
        args = [new for argument in args for new in _renamed(argument, names)]
        lists = {name for name, option in names.items() if str(option.metavar).endswith(",...")}
        seen: set[str] = set()
        for argument in args[: args.index("--")] if "--" in args else args:
            name = argument.partition("=")[0]
            if name in lists and name in seen:
                ctx.fail(f"{name} is given twice; give it once, with commas between its values.")
            seen.add(name)
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Returns the words of the line of usage: required arguments without braces."""
        return [piece.replace("{", "").replace("}", "") for piece in super().collect_usage_pieces(ctx)]

    def format_options(self, ctx: typer.Context, formatter: Any) -> None:  # type: ignore[override]
        """Writes arguments under their names, and options."""
        arguments = [parameter for parameter in self.params if parameter.param_type_name == "argument"]
        records = [parameter.get_help_record(ctx) for parameter in self.get_params(ctx) if parameter not in arguments]
        if arguments:
            with formatter.section("Arguments"):
                formatter.write_dl([(parameter.metavar, parameter.help) for parameter in arguments])  # type: ignore[attr-defined]
        with formatter.section("Options"):
            formatter.write_dl([record for record in records if record])

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Runs the function; Ctrl-C ends it with exit code 130, a reader of stdout that has gone with 0."""
        _running.set((ctx.command_path.partition(" ")[2], dict(ctx.params)))
        try:
            with discard_after_mistakes():
                return super().invoke(ctx)
        except KeyboardInterrupt:
            say("interrupted")
            raise typer.Exit(130) from None
        except BrokenPipeError:  # the reader of stdout, such as head, has enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0


class PassThrough(Command):
    """A command that hands arguments that it does not know to its function, in ``ctx.args``."""

    ignore_unknown_options = True
    allow_extra_args = True


class LazyGroup(TyperGroup):
    """A group of commands.

    Attributes:
        targets: Name of each command -> "module:function" or "module:group", below ``mmcontrast.cli``.
    """

    targets: ClassVar[dict[str, str]] = {}

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: TyperCommand(name) for name in self.targets}  # for suggestions after a mistake

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Returns the names in the order of the help text."""
        return list(self.targets)

    def get_command(self, ctx: typer.Context | None, cmd_name: str) -> Any:  # type: ignore[override]
        """Imports a command; None if there is none of this name."""
        if cmd_name not in self.targets:
            return None
        module, _, attribute = self.targets[cmd_name].partition(":")
        target = getattr(importlib.import_module(f"mmcontrast.cli.{module}"), attribute)
        return group(target, cmd_name) if isinstance(target, type) else command(target, cmd_name)


def command(function: Callable[..., Any], name: str) -> Any:
    """Returns the command of a function: its parameters are the options, its docstring is the help.

    An attribute ``command_class`` of the function replaces ``Command``.
    """
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    text = _help(function.__doc__ or "")
    cls = getattr(function, "command_class", Command)
    app.command(name, cls=cls, help=text, short_help=text.partition("\n")[0])(function)
    return typer.main.get_command(app)


def group(cls: type[LazyGroup], name: str, app: typer.Typer | None = None) -> Any:
    """Returns a group; its docstring is the help.

    Args:
        cls: The class of the group.
        name: Its name.
        app: An app whose callback holds options of the group; None for a group without options.
    """
    app = app or typer.Typer(add_completion=False, rich_markup_mode=None, callback=_nothing)
    app.info.cls, app.info.no_args_is_help = cls, True
    built = typer.main.get_command(app)
    built.name, built.help = name, _help(cls.__doc__ or "")
    built.short_help = built.help.partition("\n")[0]
    return built


def pass_through(function: Callable[..., Any]) -> Callable[..., Any]:
    """Lets a command function take arguments that it does not declare, in ``ctx.args`` of its ``typer.Context``."""
    function.command_class = PassThrough  # type: ignore[attr-defined]
    return function


def _nothing() -> None:
    """Stands for the callback that typer wants of a group."""


def _renamed(argument: str, names: dict[str, Any]) -> list[str]:
    """Returns an argument with the name that its option has now."""
    name, equals, value = argument.partition("=")
    if name in names or name not in _RENAMED:
        return [argument]
    new = _RENAMED[name]
    if new and new.partition("=")[0] not in names:
        return [argument]
    say(f"{name} is now {new}" if new else f"{name} is now an argument without a name")
    return [part for part in (new + equals + value if new else value,) if part]


def _help(docstring: str) -> str:
    """Returns the help text of a docstring, which ends where a section such as "Note:" begins.

    Indented paragraphs are kept line by line: click marks these with a backspace.
    """
    lines = docstring.expandtabs().splitlines() or [""]
    indent = len(lines[-1]) if not lines[-1].strip() else 0
    text = "\n".join([lines[0], *(line[indent:] for line in lines[1:])]).strip()
    text = re.split(r"\n\s*\n(?:Note|Returns|Raises|Args):\n", text)[0]
    paragraphs = [part.replace("``", "") for part in re.split(r"\n\s*\n", text)]
    return "\n\n".join(f"\b\n{part}" if part.startswith(" ") else part for part in paragraphs)
