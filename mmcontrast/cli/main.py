"""The program ``mmcontrast``: its commands, and one sentence for every error."""

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import typer
from typer import Option
from typer.exceptions import TyperException

from mmcontrast import __version__
from mmcontrast.cli.commands import LazyGroup, group
from mmcontrast.cli.terminal import say
from mmcontrast.errors import InputError

# What the file system answers where the program is not at fault.
_REFUSED = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENAMETOOLONG, errno.ENOTDIR,
    errno.EISDIR, errno.ENOENT, errno.EIO,
}  # fmt: skip

# Packages whose errors tell of the world outside, such as a hub that cannot be reached, and not of a fault.
_OUTSIDE = {"huggingface_hub", "httpx", "httpcore", "requests", "urllib", "urllib3", "socket", "ssl", "mlflow", "wandb"}


class Program(LazyGroup):
    """Learn representations without labels, then classify, match and track with them.

    Reports go to stdout as JSON, progress and messages to stderr. Commands write files only where --out says. Exit
    codes: 0 done, 1 some inputs failed, 2 wrong usage, 130 interrupted.
    """

    targets: ClassVar[dict[str, str]] = {
        "fit": "fit:fit",
        "validate": "fit:validate",
        "eval": "eval:Eval",
        "predict": "predict:Predict",
        "export": "export:export",
        "app": "app:app",
        "data": "data:Data",
        "list": "listing:list_names",
        "doctor": "doctor:doctor",
        "quickstart": "quickstart:quickstart",
    }


def program() -> Any:
    """Returns the program with all its commands; none of them is imported before it is needed."""
    return group(Program, "mmcontrast", typer.Typer(rich_markup_mode=None, callback=_options))


def _options(
    version: Annotated[
        bool, Option("--version", help="Print the version.", is_eager=True, callback=lambda value: _version(value))
    ] = False,
) -> None:
    """Holds the options of the program itself."""


def _version(value: bool) -> None:
    if value:
        print(f"mmcontrast {__version__}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: The command line without the program's name. None takes it from ``sys.argv``.

    Returns:
        0; 1 if the work failed or some inputs did; 2 if the command line or an input cannot be used; 130 after Ctrl-C.
    """
    try:
        code = program().main(arguments, prog_name="mmcontrast", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except InputError as error:
        say(str(error))
        return 2
    except TyperException as error:
        return _usage(error)
    except (KeyboardInterrupt, typer.Abort):
        say("interrupted")
        return 130
    except Exception as error:
        if os.environ.get("MMCONTRAST_TRACEBACK"):
            raise
        say(sentence(error))
        return 1


def _usage(error: TyperException) -> int:
    """Prints a mistake of usage as one sentence, or the help of a group that was called without a command."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.message, file=sys.stderr)
        return 2
    message = " ".join(error.format_message().split()).replace("Value error, ", "")
    path = context.command_path if context else "mmcontrast"
    say(f"{message}{'' if message.endswith(('.', '?')) else '.'} See {path} --help.")
    return 2


def sentence(error: Exception) -> str:
    """Returns what to tell the user of an error that no command has foreseen."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")[:300] or type(error).__name__
    packages = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    if isinstance(error, OSError) and error.errno in _REFUSED:
        return f"{error.filename or 'a file'}: {error.strerror}"
    if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
        return "the memory is used up; give a smaller --batch-size or --resolution"
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("mmcontrast"):
        extras = importlib.import_module("mmcontrast.extras")
        line = extras.pip_line(error.name or "") or f"pip install {error.name}"
        return f"this needs the package {error.name}, which is not installed; run: {line}"
    if packages & _OUTSIDE or isinstance(error, ConnectionError | TimeoutError):
        return text
    return (
        f"{type(error).__name__}: {text}. This is a fault of mmcontrast; "
        "set MMCONTRAST_TRACEBACK=1 to see where it happened"
    )


if __name__ == "__main__":
    sys.exit(main())
