"""``mmcontrast eval colorize``: how close predicted colors are to the true ones."""

from typing import Annotated

from typer import Option

from mmcontrast.cli.eval_options import report_result
from mmcontrast.cli.options import BatchSize, Data, Device, Limit, Model, Out, Overwrite
from mmcontrast.cli.output import output_folder
from mmcontrast.errors import InputError


def colorize(
    data: Data,
    model: Model = "colorization-lite",
    temperature: Annotated[
        float | None,
        Option(
            metavar="T",
            help="Temperature of the mean: vivid and patchy near 0, pale and smooth at 1. Without it, the model's.",
        ),
    ] = None,
    out: Out = None,
    overwrite: Overwrite = False,
    batch_size: BatchSize = 32,
    limit: Limit = None,
    device: Device = None,
) -> int:
    """Measure the colors that a model gives gray photographs.

    The metrics are auc (the fraction of pixels within a distance of their color, averaged over distances from 0 to
    150), auc_balanced (each color has the same weight), mean_distance and mean_chroma, and the same of a gray image.

      mmcontrast eval colorize --data photos/
    """
    if temperature is not None and not temperature > 0:
        raise InputError(f"--temperature {temperature}: give a number above 0")
    folder = output_folder(out, overwrite)

    from mmcontrast.evals.colorization import colorization
    from mmcontrast.inference.device import choose_device
    from mmcontrast.methods.colorization import Colorization
    from mmcontrast.methods.split_brain import SplitBrain
    from mmcontrast.models.loading import load

    chosen = choose_device(device)
    method = load(model)
    if not isinstance(method, Colorization | SplitBrain):
        raise InputError(f"{model} is a {type(method).__name__}; give a model trained by Colorization or SplitBrain")
    result = colorization(method.to(chosen), data, temperature, batch_size, limit, progress=True)
    return report_result(model, data, result, folder)
