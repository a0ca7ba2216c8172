"""A video tracked into files, frame by frame; whoever iterates shows progress and may stop at any frame."""

import csv
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmcontrast.data.io.decode import ImageSource
from mmcontrast.data.io.masks import write_mask
from mmcontrast.data.io.video import CurrentFrame, Video
from mmcontrast.data.io.video_writer import VideoWriter
from mmcontrast.predict.track import LabelPropagator
from mmcontrast.viz.overlay import PointDrawer, draw_masks

Kind = Literal["masks", "points", "colors"]


def write_tracked(
    kind: Kind, track: LabelPropagator, video: Video, first: Any, out: Path, overlay: Path | None
) -> Iterator[None]:
    """Tracks and writes; yields once a frame.

    Args:
        kind: masks go to ``out``/masks/00000.png, ..., points to ``out``/points.csv, colors only into the video.
        track: the tracker.
        video: an open video.
        first: of the first frame: (H, W) object ids, or places (x, y), or the frame in color (None is as it is).
        out: an existing folder.
        overlay: the video with what was tracked on it, .mp4; None is no video.
    """
    current, steps = CurrentFrame(video), _STEPS[kind]
    with VideoWriter(overlay, video.fps) if overlay else nullcontext() as writer:
        yield from steps(track, current, first, out, writer)


def _masks(
    track: LabelPropagator, video: CurrentFrame, first: np.ndarray, out: Path, overlay: VideoWriter | None
) -> Iterator[None]:
    (out / "masks").mkdir(parents=True, exist_ok=True)
    for number, ids in enumerate(track.iter_masks(video, first)):
        write_mask(out / "masks" / f"{number:05d}.png", ids)
        if overlay:
            overlay.write(draw_masks(video.frame, ids))
        yield


def _points(
    track: LabelPropagator,
    video: CurrentFrame,
    places: list[tuple[float, float]],
    out: Path,
    overlay: VideoWriter | None,
) -> Iterator[None]:
    draw = PointDrawer()
    with (out / "points.csv").open("w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(["frame", "id", "x", "y", "confidence", "visible"])
        for number, found in enumerate(track.iter_points(video, places)):
            for i, ((x, y), confidence, visible) in enumerate(zip(*found, strict=True)):
                rows.writerow([number, i, f"{x:.2f}", f"{y:.2f}", f"{confidence:.4f}", int(visible)])
            if overlay:
                overlay.write(draw(video.frame, found.xy, found.visible))
            yield


def _colors(
    track: LabelPropagator, video: CurrentFrame, first: ImageSource | None, _: Path, overlay: VideoWriter | None
) -> Iterator[None]:
    for frame in track.iter_colors(video, first):
        if overlay:
            overlay.write(frame)
        yield


_STEPS: dict[Kind, Callable[..., Iterator[None]]] = {"masks": _masks, "points": _points, "colors": _colors}
