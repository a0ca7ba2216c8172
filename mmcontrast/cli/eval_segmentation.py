"""``mmcontrast eval segment``: semantic segmentation from patch features."""

from typing import TYPE_CHECKING, Annotated

from typer import Option

from mmcontrast.cli.eval_options import EncoderModel, HeldOut, VoteTemperature, load_encoder_on, report_result
from mmcontrast.cli.options import Device, NoCache, Out, Overwrite, Resolution, TrainData, numbers
from mmcontrast.cli.output import OutputFolder, output_folder

if TYPE_CHECKING:
    from mmcontrast.evals.segmentation import SegmentationResult

NUM_EXAMPLES = 4  # rows of segments.png


def segment(
    train_data: TrainData,
    test_data: Annotated[
        str | None, Option(metavar="PATH", help="Data set to measure on. Without it, the end of --train-data.")
    ] = None,
    model: EncoderModel = "clip-lite",
    held_out: HeldOut = 0.3,
    ignore: Annotated[str, Option(metavar="N,...", help="Class numbers of pixels that are not counted.")] = "255",
    k: Annotated[int, Option(metavar="K", min=1, help="Number of neighbors of each patch.")] = 30,
    temperature: VoteTemperature = 0.02,
    out: Out = None,
    overwrite: Overwrite = False,
    resolution: Resolution = None,
    no_cache: NoCache = False,
    device: Device = None,
) -> int:
    """Measure semantic segmentation from patch features.

    The data are shards with KEY.jpg and KEY.png, or folders with masks. The metrics are miou, pixel_accuracy and iou
    of a linear classifier and of the nearest training patches. With --out also segments.png and confusion matrices.

      mmcontrast eval segment --train-data camvid/dev.tar --model dino
    """
    ignored = numbers(ignore, int, "--ignore")
    folder = output_folder(out, overwrite)

    from mmcontrast.evals.segmentation import segmentation

    result = segmentation(
        load_encoder_on(model, device),
        train_data,
        test_data,
        ignored,
        held_out,
        resolution,
        k,
        temperature,
        num_examples=NUM_EXAMPLES if folder else 0,
        cache=not no_cache,
        progress=True,
    )
    if folder:
        _draw(result, folder)
    return report_result(model, {"train": train_data, "test": test_data}, result, folder)


def _draw(result: "SegmentationResult", folder: OutputFolder) -> None:
    from mmcontrast.viz.confusion import draw_confusion
    from mmcontrast.viz.segmentation import draw_segments

    rows = [(example.image, list(example.maps.values())) for example in result.examples]
    draw_segments(rows, result.class_names, folder / "segments.png", ("truth", "linear", "kNN"))
    for name, matrix in result.confusion.items():
        title = f"{name}: mIoU {result.metrics[name]['miou']:.3f}"
        draw_confusion(matrix.counts, matrix.class_names, folder / f"confusion_{name}.png", title)
