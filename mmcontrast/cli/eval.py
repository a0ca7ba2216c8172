"""``mmcontrast eval``: one subcommand per evaluation, each in its own module; results are JSON on stdout."""

from mmcontrast.cli.eval_classification import add_few_label, add_knn, add_probe
from mmcontrast.cli.eval_colorization import add_colorize
from mmcontrast.cli.eval_dense import add_correspondence, add_dense
from mmcontrast.cli.eval_image_text import add_retrieval, add_zero_shot
from mmcontrast.cli.eval_segmentation import add_segment
from mmcontrast.cli.eval_sound import add_sound_probe
from mmcontrast.cli.eval_video import add_davis, add_keypoints

COMMANDS = (
    add_knn,
    add_probe,
    add_few_label,
    add_segment,
    add_sound_probe,
    add_zero_shot,
    add_retrieval,
    add_davis,
    add_keypoints,
    add_dense,
    add_correspondence,
    add_colorize,
)


def add_parsers(subparsers) -> None:
    """Adds ``eval`` and its subcommands; each sets ``run``, a function of the parsed arguments."""
    text = "Measure a model on labeled data. The figures are JSON on stdout; progress goes to stderr."
    parser = subparsers.add_parser("eval", help="measure a model on labeled data", description=text)
    commands = parser.add_subparsers(dest="command", metavar="WHAT", required=True)
    for add in COMMANDS:
        add(commands)
