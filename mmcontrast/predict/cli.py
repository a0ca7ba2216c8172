"""``mmcontrast predict``: one subcommand per predictor, each in its own module."""

from mmcontrast.predict.zero_shot_cli import add_zero_shot

COMMANDS = (add_zero_shot,)


def add_parsers(subparsers) -> None:
    """Adds ``predict`` and its subcommands; each sets ``run``, a function of the parsed arguments."""
    parser = subparsers.add_parser("predict", help="use a model on files and folders", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="WHAT", required=True)
    for add in COMMANDS:
        add(commands)
