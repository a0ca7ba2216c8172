"""``mmcontrast eval``: one subcommand per evaluation, each in its own module; results are JSON on stdout."""

from mmcontrast.evals.colorization_cli import add_colorize
from mmcontrast.evals.davis_cli import add_davis, add_keypoints
from mmcontrast.evals.dense_cli import add_correspondence, add_dense
from mmcontrast.evals.image_text_cli import add_retrieval, add_zero_shot
from mmcontrast.evals.representation_cli import add_few_label, add_knn, add_probe
from mmcontrast.evals.segment_cli import add_segment
from mmcontrast.evals.sound_cli import add_sound_probe

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
    text = "Measure a model on labelled data. The figures are JSON on stdout; progress goes to stderr."
    parser = subparsers.add_parser("eval", help="measure a model on labelled data", description=text)
    commands = parser.add_subparsers(dest="command", metavar="WHAT", required=True)
    for add in COMMANDS:
        add(commands)
