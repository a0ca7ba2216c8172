"""Tracking of a video into files, frame by frame; the caller may show progress and stop at any frame."""

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

from mmcontrast.data.io.decode import ImageSource
from mmcontrast.data.io.masks import write_mask
from mmcontrast.data.io.video import CurrentFrame, Video
from mmcontrast.data.io.video_writer import VideoWriter
from mmcontrast.predict.track import LabelPropagator, Masks
from mmcontrast.predict.tracker import PointsLike
from mmcontrast.viz.overlay import PointDrawer, draw_masks

Kind = Literal["masks", "points", "colors"]
POINT_COLUMNS = ("frame", "id", "x", "y", "confidence", "visible", "time")


def write_tracked(
    kind: Kind, track: LabelPropagator, video: Video, first: Any, out: Path, overlay: Path | None
) -> Iterator[None]:
    """Tracks a video and writes the results.

    Args:
        kind: "masks" are written to ``out``/masks/00000.png and so on, "points" to ``out``/points.csv, "colors" to the
            overlay only.
        track: The tracker.
        video: An open video.
        first: The annotation of the first frame: (H, W) object ids, or {number: ids} of any frames; points (x, y); or
            the frame in color (None stands for the frame as it is).
        out: A folder that exists.
        overlay: The .mp4 file for the video with the results drawn on it; None for no such file.

    Yields:
        None after each frame.
    """
    current, write_frames = CurrentFrame(video), _WRITERS[kind]
    with VideoWriter(overlay, video.fps) if overlay else nullcontext() as writer:
        yield from write_frames(track, current, first, out, writer)


def _write_masks(
    track: LabelPropagator, video: CurrentFrame, mask: Masks, out: Path, overlay: VideoWriter | None
) -> Iterator[None]:
    (out / "masks").mkdir(parents=True, exist_ok=True)
    in_order = not isinstance(mask, Mapping) or list(mask) == [0]  # else frames are read in both directions
    for number, ids in enumerate(track.iter_masks(video, mask)):
        write_mask(out / "masks" / f"{number:05d}.png", ids)
        if overlay:
            overlay.write(draw_masks(video.frame if in_order else video[number], ids))
        yield


def _write_points(
    track: LabelPropagator, video: CurrentFrame, points: PointsLike, out: Path, overlay: VideoWriter | None
) -> Iterator[None]:
    draw = PointDrawer()
    with (out / "points.csv").open("w", newline="", encoding="utf-8") as table:
        rows = csv.writer(table)
        rows.writerow(POINT_COLUMNS)
        for number, frame in enumerate(track.iter_points(video, points)):
            time = f"{video.times[number]:.4f}"
            columns = (frame.xy.tolist(), frame.confidence.tolist(), frame.visible.tolist())
            for i, ((x, y), confidence, visible) in enumerate(zip(*columns, strict=True)):
                rows.writerow([number, i, f"{x:.2f}", f"{y:.2f}", f"{confidence:.4f}", int(visible), time])
            if overlay:
                overlay.write(draw(video.frame, frame.xy.numpy(), frame.visible.numpy()))
            yield


def _write_colors(
    track: LabelPropagator, video: CurrentFrame, first_frame: ImageSource | None, _: Path, overlay: VideoWriter | None
) -> Iterator[None]:
    for frame in track.iter_colors(video, first_frame):
        if overlay:
            overlay.write(frame)
        yield


_WRITERS: dict[Kind, Callable[..., Iterator[None]]] = {
    "masks": _write_masks,
    "points": _write_points,
    "colors": _write_colors,
}
