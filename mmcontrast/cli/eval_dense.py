"""``mmcontrast eval dense`` and ``mmcontrast eval correspondence``."""

import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from mmcontrast.cli.options import Device, Out, Overwrite, Resolution, Seed, split
from mmcontrast.cli.output import OutputFolder, output_folder
from mmcontrast.cli.report import report
from mmcontrast.cli.terminal import say
from mmcontrast.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from mmcontrast.evals.results import EvalResult

DenseModels = Annotated[
    str,
    Option(
        "--model",
        metavar="MODEL,...",
        help="Names or folders of models; sift, lab and random need no model.",
    ),
]


def dense(
    data: Annotated[
        list[str],
        Option(metavar="PATH", help="Scene: a folder, a .tar file, or PATH[A:B] for some frames; repeat for more."),
    ],
    model: DenseModels = "don-lite",
    masked: Annotated[bool, Option("--masked", help="Look for matches on the objects only.")] = False,
    pairs: Annotated[int, Option(metavar="N", min=1, help="Number of pairs of views per class of overlap.")] = 20,
    points: Annotated[int, Option("--num-points", metavar="N", min=1, help="Number of points per pair.")] = 100,
    size: Annotated[str | None, Option(metavar="H,W", help="Height and width that views are resized to.")] = None,
    out: Out = None,
    overwrite: Overwrite = False,
    resolution: Resolution = None,
    seed: Seed = 0,
    device: Device = None,
) -> int:
    """Measure matching between views of posed RGB-D scenes.

    Each point of one view is matched by descriptor in another. The metrics are pck@0.05 and pck@0.1 of the longer
    side, median_px, mean_px, auc_px, median_3d_mm, closer_than_truth, and the same for near, middle and far pairs;
    with several models, for each of them. All models get the same points. With --out also errors.png.

      mmcontrast eval dense --data scene.tar --model sift,lab,don-lite
    """
    folder = output_folder(out, overwrite)
    height_width = _size(size)

    from mmcontrast.evals.dense import evaluate_dense, table

    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: say(str(message))
        results = evaluate_dense(
            _descriptors(model, resolution, device),
            data,
            masked,
            pairs,
            points,
            height_width,
            seed,
            progress=sys.stderr.isatty(),
        )
    if folder:
        _draw(results, folder)
    print(table(results), file=sys.stderr)
    return _report(data, results, folder)


def correspondence(
    data: Annotated[
        list[str],
        Option(metavar="PATH", help="Folder or shard of images with KEY.json; repeat the option for more."),
    ],
    model: DenseModels = "don-lite",
    out: Out = None,
    overwrite: Overwrite = False,
    resolution: Resolution = None,
    device: Device = None,
) -> int:
    """Measure the transfer of keypoints between images of a class.

    Keypoints of one image are matched by descriptor in another of its class, as in PF-WILLOW. KEY.json holds
    {"keypoints": [[x, y], ...], "class": NAME}. The metrics are pck@0.05 and pck@0.1 of the image's longer side,
    pck_box@0.05 and pck_box@0.1 of the keypoints' box, and per_class; with several models, for each of them.

      mmcontrast eval correspondence --data pf_willow.tar --model sift,dino
    """
    folder = output_folder(out, overwrite)

    from mmcontrast.evals.correspondence import evaluate_correspondence

    descriptors = _descriptors(model, resolution, device)
    root = data if len(data) > 1 else data[0]
    return _report(data, evaluate_correspondence(descriptors, root, progress=sys.stderr.isatty()), folder)


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        height, width = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--size {text}: wanted HEIGHT,WIDTH, such as 480,640") from None
    return height, width


def _descriptors(models: str, resolution: int | None, device: str | None) -> "dict[str, Callable[..., Tensor]]":
    from mmcontrast.encoders.pixels import LabPatches
    from mmcontrast.evals.dense_baselines import DenseSift, RandomDescriptors
    from mmcontrast.predict.match import DescriptorMatcher

    baselines: dict[str, Callable[[], Any]] = {"sift": DenseSift, "lab": LabPatches, "random": RandomDescriptors}
    return {
        name: DescriptorMatcher(
            baselines[name]() if name in baselines else name,
            device=device,
            resolution=None if name in baselines else resolution,
        ).describe
        for name in split(models)
    }


def _draw(results: "dict[str, EvalResult]", folder: OutputFolder) -> None:
    from mmcontrast.evals.dense import OVERLAPS
    from mmcontrast.viz.error_curves import draw_error_curves

    panels = {
        f"{overlap} pairs": {
            name: result.metrics["per_overlap"][overlap]["percentiles_px"]
            for name, result in results.items()
            if overlap in result.metrics["per_overlap"]
        }
        for overlap in OVERLAPS
    }
    draw_error_curves({title: curves for title, curves in panels.items() if curves}, folder / "errors.png")


def _report(data: list[str], results: "dict[str, EvalResult]", folder: OutputFolder | None) -> int:
    """Reports the figures of one model, or those of several models under their names."""
    names, some = list(results), next(iter(results.values()))
    return report(
        model=names if len(names) > 1 else names[0],
        data=data if len(data) > 1 else data[0],
        metrics={name: result.metrics for name, result in results.items()} if len(names) > 1 else some.metrics,
        counts=some.counts,
        out=folder,
    )
