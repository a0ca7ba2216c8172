"""``mmcontrast app``, and ``python apps/NAME.py``."""

import argparse
import importlib
import sys

from mmcontrast.errors import InputError

APPS = {
    "demo": "all of them in tabs",
    "zero-shot": "name what is in images",
    "match": "click a point, find it in another image",
    "track": "follow objects through a video",
    "look-inside": "see what a model sees",
}


def add_parsers(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the ``app`` subcommand."""
    parser = subparsers.add_parser(
        "app",
        help="open the apps in a browser",
        description="Serve the apps to a browser on this machine (127.0.0.1 only).\n\n"
        + "\n".join(f"  {name:<12} {about}" for name, about in APPS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("which", nargs="?", default="demo", choices=APPS, help="default: demo", metavar="APP")
    _add_flags(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serves until Ctrl-C."""
    from .page import page, serve

    app = importlib.import_module(f"mmcontrast.apps.{args.which.replace('-', '_')}")
    with page(app.TITLE) as blocks:
        app.build(args.model)
    return serve(blocks, args.port)


def main(which: str) -> int:
    """Serves one app as a program of its own; returns the exit status."""
    parser = argparse.ArgumentParser(description=f"Serve {which} ({APPS[which]}) to a browser on this machine.")
    _add_flags(parser)
    parser.set_defaults(which=which)
    try:
        return run(parser.parse_args())
    except InputError as error:
        print(f"mmcontrast: {error}", file=sys.stderr)
        return 2


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="M", help="model to start with (default: each app's bundled one)")
    parser.add_argument("--port", type=_port, metavar="N", help="default: the first free one from 7860")


def _port(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give a number from 1 to 65535")
    return int(text)
