"""``mmcontrast predict``: one subcommand per predictor, each in its own module."""

from mmcontrast.cli.predict_colorize import add_colorize
from mmcontrast.cli.predict_features import add_features
from mmcontrast.cli.predict_match import add_match
from mmcontrast.cli.predict_track import add_track
from mmcontrast.cli.predict_zero_shot import add_zero_shot

COMMANDS = (add_zero_shot, add_track, add_match, add_features, add_colorize)


def add_parsers(subparsers) -> None:
    """Adds ``predict`` and its subcommands; each sets ``run``, a function of the parsed arguments."""
    text = "Use a model on files and folders."
    parser = subparsers.add_parser("predict", help="use a model on files and folders", description=text)
    commands = parser.add_subparsers(dest="command", metavar="WHAT", required=True)
    for add in COMMANDS:
        add(commands)
