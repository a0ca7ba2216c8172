"""``mmcontrast data``: the data scripts, each with its own options."""

import ast
import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from mmcontrast.cli.commands import LazyGroup, PassThrough

_PACKAGE = "mmcontrast.data_scripts"


class Script(PassThrough):
    """A data script, which reads its own arguments and prints its own help."""

    allow_interspersed_args = False

    def invoke(self, ctx: typer.Context) -> int:  # type: ignore[override]
        """Runs the function ``main`` of the script."""
        module = importlib.import_module(f"{_PACKAGE}.{str(self.name).replace('-', '_')}")
        sys.argv = [f"mmcontrast data {self.name}", *ctx.args]
        try:
            return int(module.main() or 0)
        except SystemExit as end:  # argparse has printed its help, or a mistake
            return end.code if isinstance(end.code, int) else int(end.code is not None)


class Data(LazyGroup):
    """Download or make a data set.

    Each script has its own options: see mmcontrast data NAME --help.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self._files = scripts()
        self.commands = {name: TyperCommand(name) for name in self._files}

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Returns the names of the scripts."""
        return list(self._files)

    def get_command(self, ctx: typer.Context | None, cmd_name: str) -> Any:  # type: ignore[override]
        """Returns the command of a script; the script is not imported yet."""
        if (name := cmd_name.replace("_", "-")) not in self._files:
            return None
        about = first_line(self._files[name]).replace("``", "")
        return Script(name, short_help=about, help=about, add_help_option=False)


def scripts() -> dict[str, Path]:
    """Returns the files of the data scripts by their names on the command line."""
    spec = importlib.util.find_spec(_PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    files = sorted(path for folder in folders or () for path in Path(folder).glob("[!_]*.py"))
    return {path.stem.replace("_", "-"): path for path in files}


def first_line(path: Path) -> str:
    """Returns the first line of a module's docstring without importing it."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
