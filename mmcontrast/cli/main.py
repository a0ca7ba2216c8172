"""The program ``mmcontrast``.  Imports what a command needs when it runs, so that ``--help`` is instant."""

import argparse
import errno
import importlib
import os
import sys
from collections.abc import Callable, Sequence

from mmcontrast import __version__
from mmcontrast.errors import InputError

# What the file system answers where the program is not at fault.
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}

FIT_HELP = """\
A config names a model, the data and the trainer; every constructor argument in
it is also a flag:

  mmcontrast fit -c configs/smoke/clip.yaml --model.lr 3e-4 --data.batch_size 8
  mmcontrast fit -c configs/clip/lite.yaml --resume        after an interruption
  torchrun --nproc-per-node 8 -m mmcontrast fit -c CONFIG  eight GPUs

--help-all lists all of them, --print_config writes the complete config."""


def _fit_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str) -> None:
    parser = commands.add_parser(
        name, help=text, description=FIT_HELP, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--run-dir", metavar="DIR", help="run directory (default: runs/ and the config's name)")
    if name == "fit":
        parser.add_argument("--help-all", action="store_true", help="every flag of model, data and trainer")
        parser.add_argument("--resume", action="store_true", help="go on from the run's last complete checkpoint")
        parser.add_argument("--overwrite", action="store_true", help="start again in a directory that holds a run")
        parser.add_argument(
            "--save-every", type=int, default=1000, metavar="N", help="steps between checkpoints within an epoch"
        )
    parser.set_defaults(train=name)


def _export_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = commands.add_parser("export", help="write a model as a folder that loads anywhere, or as ONNX")
    parser.add_argument("model", help="a run directory, a bundled name, or what else mmcontrast.load takes")
    parser.add_argument("out", help="folder to write to; with --hub, the repository USER/NAME")
    parser.add_argument("--dtype", choices=("float16", "float32"), default="float16", help="of the stored weights")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--onnx", action="store_true", help="write image.onnx and text.onnx instead")
    form.add_argument("--hub", action="store_true", help="upload to the Hugging Face hub instead")
    parser.set_defaults(run=_export)


def _export(args: argparse.Namespace) -> int:
    from mmcontrast.models import exporting

    if args.onnx:
        written = list(map(str, exporting.export_onnx(args.model, args.out)))
    elif args.hub:
        written = [exporting.push_to_hub(args.model, args.out, dtype=args.dtype)]
    else:
        written = sorted(map(str, exporting.export(args.model, args.out, args.dtype).iterdir()))
    print(*written, sep="\n")
    return 0


def _module_command(module: str, function: str = "run") -> Callable[[argparse.Namespace], int]:
    return lambda args: getattr(importlib.import_module(module), function)(args)


def build_parser() -> argparse.ArgumentParser:
    """All commands; none of them imports torch."""
    parser = argparse.ArgumentParser(
        prog="mmcontrast", description="Learn representations without labels, then classify, match and track with them."
    )
    parser.add_argument("--version", action="version", version=f"mmcontrast {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _fit_parser(commands, "fit", "train a method from a config")
    _fit_parser(commands, "validate", "validation figures of a run as JSON")
    for module in ("cli.eval", "cli.predict", "apps.cli", "cli.quickstart"):
        importlib.import_module(f"mmcontrast.{module}").add_parsers(commands)
    _export_parser(commands)
    listing = commands.add_parser("list", help="bundled models, methods, encoders, data sets and configs")
    listing.set_defaults(run=_module_command("mmcontrast.cli.listing"))
    doctor = commands.add_parser("doctor", help="check this installation, or a scene's geometry")
    doctor.add_argument("--scene", metavar="PATH", help="check posed RGB-D scenes instead: a folder or archive")
    doctor.add_argument("--depth-unit", type=float, metavar="M", help="meters per unit of their depth")
    doctor.set_defaults(run=_module_command("mmcontrast.cli.doctor"))
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        0; 1 when the work failed or some inputs did; 2 when the command line or an input cannot be used; 130 for
        Ctrl-C.
    """
    parser = build_parser()
    args, rest = parser.parse_known_args(arguments)
    try:
        if hasattr(args, "train"):
            train = importlib.import_module("mmcontrast.train.cli")
            return int(train.run(args.train, args, rest))
        if rest:
            parser.error(f"unknown arguments: {' '.join(rest)}")
        return int(args.run(args))
    except InputError as error:
        print(f"mmcontrast: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("mmcontrast: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of stdout, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        print(f"mmcontrast: {error.filename or 'a file'}: {error.strerror}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
