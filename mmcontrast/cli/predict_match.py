"""``mmcontrast predict match``: find points of one image in others, or in every frame of a video."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from mmcontrast.cli.csv_table import open_csv
from mmcontrast.cli.options import (
    Device,
    Dtype,
    Model,
    Overwrite,
    Points,
    RequiredOut,
    Resolution,
    SafeCSV,
    points_of,
)
from mmcontrast.cli.output import OutputFolder
from mmcontrast.cli.report import report
from mmcontrast.cli.terminal import progress, say
from mmcontrast.errors import InputError

if TYPE_CHECKING:
    from mmcontrast.data.io.video import Video
    from mmcontrast.predict.match import DescriptorMatcher
    from mmcontrast.predict.results import ImageArray

COLUMNS = ("image", "point", "at_x", "at_y", "x", "y", "distance", "confidence", "error")
# The name of an image, the image or what is wrong with it, and what writes its drawing.
Step = tuple[str, Any, Callable[[Any], None]]


def match(
    reference: Annotated[str, Option(metavar="FILE", help="Image that the points are in.")],
    points: Points,
    out: RequiredOut,
    paths: Annotated[
        list[str] | None, Argument(metavar="PATH", help="Images, and folders that are searched at any depth.")
    ] = None,
    video: Annotated[str | None, Option(metavar="FILE", help="Video file, or folder of frames.")] = None,
    overwrite: Overwrite = False,
    model: Model = "don-lite",
    safe_csv: SafeCSV = False,
    resolution: Resolution = None,
    dtype: Dtype = "float32",
    device: Device = None,
) -> int:
    """Find points of a reference image in other images or in a video.

    Writes matches.csv, and NAME.png for each image (the reference, its matches, a heat map of distances) or
    matches.mp4 for a video. The model lab compares colors and needs no training.

      mmcontrast predict match b.png --reference a.png --points 120,80 --out o/
      mmcontrast predict match photos/ --reference a.png --points 120,80 \\
        --points 200,95 --out o/
      mmcontrast predict match --video in.mp4 --reference a.png --points 120,80 \\
        --out o/
    """
    from mmcontrast.data.io.decode import decode
    from mmcontrast.data.io.video import open_video
    from mmcontrast.inference.image_batches import image_files
    from mmcontrast.predict.match import DescriptorMatcher

    positions = points_of(points or [])
    if bool(paths) == bool(video):
        raise InputError("say where to look for the points: either in PATH... or in --video FILE")
    opened, files = open_video(video) if video else None, image_files(*paths or ())
    if not opened and not files:
        raise InputError(f"no images in {', '.join(paths or ())}")
    matcher = DescriptorMatcher(model, device=device, resolution=resolution, dtype=dtype)
    image = decode(reference)
    matcher.set_reference(image)
    matcher.check(positions)
    folder = OutputFolder(out, overwrite, [reference, *([video] if video else files)])
    steps = _frames(opened, folder) if opened else _images(files, folder)
    with open_csv(folder / "matches.csv", COLUMNS, safe_csv) as write:
        counts = _match_all(matcher, image, positions, steps, write)
    if counts["errors"]:
        say(
            f"{counts['errors']} of {counts['images']} files could not be read; "
            f"see the error column of {folder.path / 'matches.csv'}."
        )
    if opened and opened.problem:
        say(opened.problem)
        counts["errors"] += 1
    return report(model=model, data=video or paths or [], metrics={}, counts=counts, out=folder)


def _match_all(
    matcher: "DescriptorMatcher",
    reference: "ImageArray",
    points: list[tuple[float, float]],
    steps: Iterator[Step],
    write: Callable[[Sequence[Any]], None],
) -> dict[str, int]:
    """Writes the rows and the drawings of all images; returns the counts."""
    counts = {"images": 0, "points": len(points), "errors": 0}
    for name, image, save in steps:
        counts["images"] += 1
        if isinstance(image, str):
            counts["errors"] += 1
            write([name, *[""] * (len(COLUMNS) - 2), image.removeprefix(f"{name}: ")])
            continue
        rows, drawing = match_one(matcher, reference, points, image)
        for row in rows:
            write([name, *row, ""])
        save(drawing)
    return counts


def match_one(
    matcher: "DescriptorMatcher",
    reference: "ImageArray",
    points: list[tuple[float, float]],
    image: "ImageArray",
) -> tuple[list[list[str]], "ImageArray"]:
    """Returns the cells of matches.csv for one image, and a drawing of the matches."""
    import torch

    from mmcontrast.viz.matches import draw_matches

    matches = matcher.find(image, points)
    heat = torch.stack([matcher.heatmap(image, point) for point in points]).amax(0)
    matched_xy = [(x, y) for x, y in matches.xy.tolist()]
    values = zip(points, matched_xy, matches.distance.tolist(), matches.confidence.tolist(), strict=True)
    rows = [
        [str(number), f"{at[0]:g}", f"{at[1]:g}", f"{x:.2f}", f"{y:.2f}", f"{distance:.5f}", f"{confidence:.4f}"]
        for number, (at, (x, y), distance, confidence) in enumerate(values, 1)
    ]
    return rows, draw_matches(reference, points, image, matched_xy, heat.cpu().numpy())


def _images(files: list[Path], folder: OutputFolder) -> Iterator[Step]:
    """Yields every file with what saves its drawing: never onto an image that was given."""
    from mmcontrast.data.io.decode import decode

    for path in progress(files, len(files), "image"):
        try:
            image: Any = decode(path)
        except InputError as error:
            yield str(path), str(error), lambda drawing: None
            continue
        yield str(path), image, partial(_save, folder, path.stem)


def _save(folder: OutputFolder, stem: str, drawing: "ImageArray") -> None:
    from PIL import Image

    Image.fromarray(drawing).save(folder.free(f"{stem}.png"))


def _frames(video: "Video", folder: OutputFolder) -> Iterator[Step]:
    """Yields every frame of a video; the drawings become matches.mp4."""
    from mmcontrast.data.io.video_writer import VideoWriter

    with VideoWriter(folder / "matches.mp4", video.fps) as writer:
        for number, frame in enumerate(progress(video, len(video), "frame")):
            yield f"{video.name}#{number}", frame, writer.write
