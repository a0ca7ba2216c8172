"""``mmcontrast predict track``: carry masks, points or colors through a video."""

import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from mmcontrast.cli.options import Device, Dtype, Overwrite, Points, RequiredOut, Resolution, Video, points_of
from mmcontrast.cli.output import OutputFolder
from mmcontrast.cli.propagation import (
    Context,
    Preset,
    PropagationTemperature,
    Radius,
    TopK,
    TrackModel,
    propagator,
)
from mmcontrast.cli.report import report
from mmcontrast.cli.terminal import progress, say
from mmcontrast.errors import InputError

if TYPE_CHECKING:
    from mmcontrast.data.io import video as videos
    from mmcontrast.predict.results import ImageArray


def track(
    video: Video,
    out: RequiredOut,
    mask: Annotated[
        list[str] | None,
        Option(
            metavar="[FRAME=]FILE",
            help="Object ids of the first frame or of another one, a PNG of the video's size; repeat the option for "
            "more frames.",
        ),
    ] = None,
    points: Points = None,
    colors: Annotated[bool, Option("--colors", help="Color a gray video from its first frame.")] = False,
    color_frame: Annotated[
        str | None, Option(metavar="FILE", help="First frame in color, for a video that is gray from the start.")
    ] = None,
    overwrite: Overwrite = False,
    no_overlay: Annotated[bool, Option("--no-overlay", help="Do not write overlay.mp4.")] = False,
    model: TrackModel = None,
    preset: Preset = "dino",
    context: Context = None,
    topk: TopK = None,
    radius: Radius = None,
    temperature: PropagationTemperature = None,
    resolution: Resolution = 480,
    dtype: Dtype = "float32",
    device: Device = None,
) -> int:
    """Carry masks, points or colors of the first frame through a video.

    Masks may also be those of other frames. They are carried both ways, and blended between two of them.

    Writes masks/00000.png, ... (palette PNG), or points.csv (frame, id, x, y, confidence, visible, and time in
    seconds), and overlay.mp4; or colors.mp4.

      mmcontrast predict track --video in.mp4 --mask first.png --out out/
      mmcontrast predict track --video in.mp4 --mask 0=a.png --mask 57=b.png \\
        --out out/
      mmcontrast predict track --video in.mp4 --points 120,80 --points 200,95 \\
        --out out/
      mmcontrast predict track --video gray.mp4 --colors --color-frame 1.png \\
        --out out/

    Note:
        The function is long because its signature holds all options of propagation.
    """
    _check(mask, points, colors, color_frame)
    annotation: Any = points_of(points) if points else None
    mask_files = frames_of(mask or [])

    from mmcontrast.data.io.video import open_video
    from mmcontrast.predict.track import default_model
    from mmcontrast.predict.track_writer import Kind, write_tracked

    opened = open_video(video)
    model = model or default_model()
    tracker = propagator(model, preset, context, topk, radius, temperature, resolution, dtype, device)
    folder = OutputFolder(out, overwrite, [video, *mask_files.values(), *([color_frame] if color_frame else [])])
    kind: Kind = "masks" if mask else "points" if points else "colors"
    if mask:
        alone = len(mask_files) == 1
        annotation = {frame: read_mask_of(file, opened, may_be_empty=not alone) for frame, file in mask_files.items()}
    elif color_frame:
        annotation = read_color_of(color_frame, opened)
    overlay = None if no_overlay and not colors else folder / ("colors.mp4" if colors else "overlay.mp4")
    if not colors:
        _ = folder / ("masks" if mask else "points.csv")
    start = time.perf_counter()
    frames = write_tracked(kind, tracker, opened, annotation, folder.path, overlay)
    done = sum(1 for _ in progress(frames, len(opened), "frame"))
    metrics = {"seconds_per_frame": round((time.perf_counter() - start) / max(done, 1), 4)}
    if opened.problem:
        say(f"{opened.problem}; tracked the {done} that are there.")
    counts = {"frames": done, "errors": int(bool(opened.problem))}
    return report(model=model, data=video, metrics=metrics, counts=counts, out=folder)


def _check(mask: list[str] | None, points: list[str] | None, colors: bool, color_frame: str | None) -> None:
    """Refuses none or several of the things to carry."""
    if sum((bool(mask), bool(points), colors)) != 1:
        raise InputError("say what to track: one of --mask FILE, --points X,Y and --colors")
    if color_frame and not colors:
        raise InputError("--color-frame goes with --colors")


def frames_of(masks: list[str]) -> dict[int, str]:
    """Returns the mask files by frame, of texts such as "57=b.png"; a file alone is that of frame 0.

    Raises:
        InputError: A frame has two masks.
    """
    files: dict[int, str] = {}
    for text in masks:
        frame, _, file = text.partition("=")
        number, file = (int(frame), file) if frame.isdecimal() and file and not Path(text).exists() else (0, text)
        if number in files:
            raise InputError(f"--mask {text}: frame {number} has a mask already, {files[number]}")
        files[number] = file
    return files


def read_mask_of(path: str, video: "videos.Video", may_be_empty: bool = False) -> "ImageArray":
    """Returns the mask of a frame, (H, W) uint8 ids.

    Args:
        path: The file.
        video: The video.
        may_be_empty: Whether a mask without objects is right: they are out of sight.

    Raises:
        InputError: The mask does not fit the video; the message names the file.
    """
    from mmcontrast.data.io.masks import read_mask
    from mmcontrast.predict.label_maps import check_mask

    with warnings.catch_warnings():  # they say by which rule a drawn mask is read
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_: say(str(message))
        mask = read_mask(path)
    if mask.any() or not may_be_empty:
        check_mask(mask, video.height, video.width, path)
    return mask


def read_color_of(path: str, video: "videos.Video") -> "ImageArray":
    """Returns the first frame in color, (H, W, 3) uint8.

    Raises:
        InputError: The file is no image, or has another size than the video; the message names the file.
    """
    from mmcontrast.data.io.decode import decode
    from mmcontrast.predict.label_maps import check_size

    frame = decode(path)
    check_size(frame, video.height, video.width, path)
    return frame
