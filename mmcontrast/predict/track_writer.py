"""A film tracked into files, frame by frame; whoever iterates shows progress and may stop at any frame."""

import csv
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmcontrast.data.decode import Source
from mmcontrast.data.masks import write_mask
from mmcontrast.data.video import CurrentFrame, Video
from mmcontrast.data.video_writer import VideoWriter
from mmcontrast.predict.overlay import PointDrawer, draw_masks
from mmcontrast.predict.propagate import LabelPropagator

Kind = Literal["masks", "points", "colors"]


def write_tracked(
    kind: Kind, track: LabelPropagator, film: Video, first: Any, out: Path, overlay: Path | None
) -> Iterator[None]:
    """Tracks and writes; yields once a frame.

    Args:
        kind: masks go to ``out``/masks/00000.png, ..., points to ``out``/points.csv, colours only into the film.
        track: the tracker.
        film: an open film.
        first: of the first frame: (H, W) object ids, or places (x, y), or the frame in colour (None is as it is).
        out: an existing folder.
        overlay: the film with what was tracked on it, .mp4; None is no film.
    """
    current, steps = CurrentFrame(film), _STEPS[kind]
    with VideoWriter(overlay, film.fps) if overlay else nullcontext() as writer:
        yield from steps(track, current, first, out, writer)


def _masks(
    track: LabelPropagator, film: CurrentFrame, first: np.ndarray, out: Path, overlay: VideoWriter | None
) -> Iterator[None]:
    (out / "masks").mkdir(parents=True, exist_ok=True)
    for number, ids in enumerate(track.iter_masks(film, first)):
        write_mask(out / "masks" / f"{number:05d}.png", ids)
        if overlay:
            overlay.write(draw_masks(film.frame, ids))
        yield


def _points(
    track: LabelPropagator,
    film: CurrentFrame,
    places: list[tuple[float, float]],
    out: Path,
    overlay: VideoWriter | None,
) -> Iterator[None]:
    draw = PointDrawer()
    with (out / "points.csv").open("w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(["frame", "id", "x", "y", "confidence", "visible"])
        for number, found in enumerate(track.iter_points(film, places)):
            for i, ((x, y), confidence, visible) in enumerate(zip(*found, strict=True)):
                rows.writerow([number, i, f"{x:.2f}", f"{y:.2f}", f"{confidence:.4f}", int(visible)])
            if overlay:
                overlay.write(draw(film.frame, found.xy, found.visible))
            yield


def _colors(
    track: LabelPropagator, film: CurrentFrame, first: Source | None, _: Path, overlay: VideoWriter | None
) -> Iterator[None]:
    for frame in track.iter_colors(film, first):
        if overlay:
            overlay.write(frame)
        yield


_STEPS: dict[Kind, Callable[..., Iterator[None]]] = {"masks": _masks, "points": _points, "colors": _colors}
