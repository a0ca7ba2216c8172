"""Options and steps that several evaluations share."""

from typing import TYPE_CHECKING, Annotated

from typer import Option

from mmcontrast.cli.output import OutputFolder
from mmcontrast.cli.report import report
from mmcontrast.cli.terminal import say

if TYPE_CHECKING:
    from mmcontrast.encoders.base import Encoder
    from mmcontrast.evals.results import EvalResult

EncoderModel = Annotated[
    str,
    Option(
        "--model",
        metavar="MODEL",
        help="Name of a bundled model, folder of a run or an export, or any other name that mmcontrast.load takes; "
        "pixels needs no model, and random:NAME has random weights.",
    ),
]
HeldOut = Annotated[float, Option(metavar="FRACTION", help="Fraction of --train-data that is held out from learning.")]
Epochs = Annotated[int, Option(metavar="N", min=1, help="Number of epochs.")]
VoteTemperature = Annotated[float, Option("--temperature", metavar="T", help="Temperature of the neighbors' votes.")]


def load_encoder_on(model: str, device: str | None) -> "Encoder":
    """Returns the encoder of a model on a device.

    Raises:
        InputError: There is no such model or device.
    """
    from mmcontrast.inference.device import choose_device
    from mmcontrast.models.loading import load_encoder

    chosen = choose_device(device)
    return load_encoder(model).to(chosen)


def report_result(
    model: str, data: str | dict[str, str | None], result: "EvalResult", folder: OutputFolder | None
) -> int:
    """Reports the figures of one evaluation, says what was left out, and returns the exit code."""
    for name, count in result.counts.items():
        if count and name in _LEFT_OUT:
            say(_LEFT_OUT[name].format(count))
    return report(
        model=model, data=data, metrics=result.metrics, counts=result.counts, settings=result.settings, out=folder
    )


_LEFT_OUT = {
    "num_unreadable": "left out {} images that cannot be read.",
    "num_unlabeled": "left out {} images whose label is below 0, which stands for unlabeled.",
    "num_without_caption": "left out {} images without a caption.",
}


def draw_confusions(result: "EvalResult", folder: OutputFolder, title: str, file: str = "confusion.png") -> None:
    """Draws the confusion matrices of a result; ``{}`` in the title and the file name stands for the matrix's name."""
    from mmcontrast.viz.confusion import draw_confusion

    for name, matrix in result.confusion.items():
        correct = int(matrix.counts.diagonal().sum()) / max(int(matrix.counts.sum()), 1)
        target = folder / file.format(name)
        draw_confusion(matrix.counts, matrix.class_names, target, f"{title.format(name)}: {correct:.1%} correct")
