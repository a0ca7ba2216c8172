"""``mmcontrast predict``: one subcommand per predictor, each in its own module."""

from mmcontrast.predict.colorize_cli import add_colorize
from mmcontrast.predict.features_cli import add_features
from mmcontrast.predict.match_cli import add_match
from mmcontrast.predict.track_cli import add_track
from mmcontrast.predict.zero_shot_cli import add_zero_shot

COMMANDS = (add_zero_shot, add_track, add_match, add_features, add_colorize)


def add_parsers(subparsers) -> None:
    """Adds ``predict`` and its subcommands; each sets ``run``, a function of the parsed arguments."""
    text = "Use a model on files and folders."
    parser = subparsers.add_parser("predict", help="use a model on files and folders", description=text)
    commands = parser.add_subparsers(dest="command", metavar="WHAT", required=True)
    for add in COMMANDS:
        add(commands)
