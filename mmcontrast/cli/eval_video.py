"""``mmcontrast eval davis`` and ``mmcontrast eval keypoints``."""

import sys
from typing import TYPE_CHECKING, Annotated

from typer import Option

from mmcontrast.cli.eval_options import report_result
from mmcontrast.cli.options import Device, Dtype, Out, Overwrite, Resolution, split
from mmcontrast.cli.output import output_folder
from mmcontrast.cli.propagation import Context, Preset, PropagationTemperature, Radius, TopK, propagator
from mmcontrast.errors import InputError

if TYPE_CHECKING:
    from mmcontrast.data.datasets.davis import Task
    from mmcontrast.predict.tracker import Tracker

TrackerModel = Annotated[
    str | None,
    Option(
        "--model",
        metavar="MODEL",
        help="Name or folder of a model; lab, flow and identity need none. Without it, the bundled track-lite.",
    ),
]


def davis(
    data: Annotated[str, Option(metavar="PATH", help="Folder of DAVIS, 2016 or 2017, as it is unpacked.")],
    model: TrackerModel = None,
    year: Annotated[
        int | None,
        Option(metavar="YEAR", help="Year of the data set, 2016 or 2017. Without it, 2017 if ImageSets/2017 exists."),
    ] = None,
    split_: Annotated[
        str | None, Option("--split", metavar="NAME", help="List of ImageSets. Without it, val, or else all videos.")
    ] = None,
    sequences: Annotated[str | None, Option(metavar="NAME,...", help="Names of the videos to measure on.")] = None,
    unsupervised: Annotated[
        bool, Option("--unsupervised", help="Score --masks by the unsupervised task of 2017.")
    ] = False,
    masks: Annotated[
        str | None, Option(metavar="DIR", help="Folder of results, DIR/VIDEO/00000.png, to score without a model.")
    ] = None,
    out: Out = None,
    overwrite: Overwrite = False,
    preset: Preset = "dino",
    context: Context = None,
    topk: TopK = None,
    radius: Radius = None,
    temperature: PropagationTemperature = None,
    resolution: Resolution = 480,
    dtype: Dtype = "float32",
    device: Device = None,
) -> int:
    """Measure video object segmentation on DAVIS.

    The first mask of each video is propagated. The metrics are J, F, J&F, per_sequence, and seconds_per_frame of CPU
    time. With --out also the masks and curves.png.

      mmcontrast eval davis --data DAVIS --split val --model track-lite

    Note:
        The function is long because its signature holds all options of propagation.
    """
    if unsupervised and not masks:
        raise InputError("--unsupervised scores results: give --masks DIR")

    from mmcontrast.data.datasets.davis import Davis
    from mmcontrast.evals.davis import evaluate_davis

    task: Task = "unsupervised" if unsupervised else "semi-supervised"
    videos = Davis(data, year, split_, split(sequences) if sequences else None, task)
    options = (preset, context, topk, radius, temperature, resolution, dtype, device)
    name, tracker = _tracker(model, *options) if masks is None else (masks, None)
    folder = output_folder(out, overwrite)
    save = folder / "masks" if folder and tracker else None
    result = evaluate_davis(videos, tracker or name, save=save, progress=sys.stderr.isatty())
    if folder:
        from mmcontrast.viz.video_curves import draw_video_curves

        curves = {video: {"J": scores.J, "F": scores.F} for video, scores in result.videos.items()}
        draw_video_curves(curves, folder / "curves.png")
    print(result.table(), file=sys.stderr)
    return report_result(name, data, result, folder)


def keypoints(
    data: Annotated[str, Option(metavar="PATH", help="Folder that holds DAVIS, or that of JHMDB with Rename_Images.")],
    keypoints: Annotated[
        str, Option(metavar="FILE", help="Annotations: the .json of BADJA, or a split list (.txt) of JHMDB.")
    ],
    model: TrackerModel = None,
    out: Out = None,
    overwrite: Overwrite = False,
    preset: Preset = "dino",
    context: Context = None,
    topk: TopK = None,
    radius: Radius = None,
    temperature: PropagationTemperature = None,
    resolution: Resolution = 480,
    dtype: Dtype = "float32",
    device: Device = None,
) -> int:
    """Measure the tracking of joints.

    The joints of each video's first annotated frame are tracked. The metrics are pck@0.1 and pck@0.2 of the object's
    size, per_sequence, and seconds_per_frame of CPU time.

      mmcontrast eval keypoints --data DAVIS --keypoints badja_cows.json
    """
    from mmcontrast.data.datasets.keypoints import read_keypoints
    from mmcontrast.evals.pck import evaluate_keypoints

    videos = read_keypoints(data, keypoints)
    options = (preset, context, topk, radius, temperature, resolution, dtype, device)
    name, tracker = _tracker(model, *options)
    folder = output_folder(out, overwrite)
    result = evaluate_keypoints(videos, tracker, progress=sys.stderr.isatty())
    return report_result(name, data, result, folder)


def _tracker(
    model: str | None,
    preset: str,
    context: int | None,
    topk: int | None,
    radius: float | None,
    temperature: float | None,
    resolution: int | None,
    dtype: str,
    device: str | None,
) -> "tuple[str, Tracker]":
    """Returns the name and the tracker of a model or a baseline."""
    from mmcontrast.predict.baselines import FlowTracker, IdentityTracker
    from mmcontrast.predict.track import default_model

    name = model or default_model()
    if name in ("flow", "identity"):
        return name, FlowTracker() if name == "flow" else IdentityTracker()
    return name, propagator(name, preset, context, topk, radius, temperature, resolution, dtype, device)
