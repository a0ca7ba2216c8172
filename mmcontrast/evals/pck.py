"""Percentage of correct keypoints: joints of the first annotated frame, tracked through the film."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from mmcontrast.data.keypoints import KeypointFilm
from mmcontrast.data.video import FrameArray, Video
from mmcontrast.errors import InputError
from mmcontrast.predict.propagate import Points


class PointTracker(Protocol):
    """What carries points through a film."""

    def iter_points(self, video: Video, points: np.ndarray) -> Iterator[Points]:
        """``Points`` of each frame."""
        ...


def correct(xy: np.ndarray, truth: np.ndarray, size: np.ndarray, threshold: float) -> np.ndarray:
    """Which points lie within ``threshold`` times the object's size of the truth.

    Args:
        xy, truth: (A, N, 2) pixels.
        size: (A,) pixels.
    Returns:
        (A, N) bool.
    """
    return np.linalg.norm(xy - truth, axis=-1) <= threshold * size[:, None]


def evaluate_keypoints(
    films: Iterable[KeypointFilm],
    tracker: PointTracker,
    thresholds: Sequence[float] = (0.1, 0.2),
    progress: bool = False,
) -> dict[str, Any]:
    """PCK over all visible joints of all annotated frames after the first.

    Returns:
        ``pck@THRESHOLD`` for each in [0, 1], ``n`` joints compared, ``per_sequence`` and ``seconds_per_frame``.
    Raises:
        InputError: no joint is visible both in a film's first annotated frame and in a later one.
    """
    hits: dict[str, list[np.ndarray]] = {}
    frames, start = 0, time.process_time()
    for film in tqdm(films, disable=not progress, unit="film"):
        tracked = film.visible[0]
        wanted = dict(zip((film.frames - film.frames[0]).tolist(), range(len(film.frames)), strict=True))
        found = np.full_like(film.xy[:, tracked], np.nan)
        for number, points in enumerate(tracker.iter_points(_from(film), film.xy[0, tracked])):
            frames += 1
            if number in wanted:
                found[wanted[number]] = points.xy
        seen = film.visible[1:, tracked]  # (A - 1, N)
        near = [correct(found[1:], film.xy[1:, tracked], film.size[1:], t)[seen] for t in thresholds]
        hits[film.name] = near
    if not any(near[0].size for near in hits.values()):
        raise InputError("no joint is visible both in a first annotated frame and in a later one")
    names = [f"pck@{t:g}" for t in thresholds]
    total = [np.concatenate(part) for part in zip(*hits.values(), strict=True)]
    return {
        **{name: float(part.mean()) for name, part in zip(names, total, strict=True)},
        "n": int(total[0].size),
        "per_sequence": {
            film: {name: float(part.mean()) for name, part in zip(names, near, strict=True)} | {"n": int(near[0].size)}
            for film, near in hits.items()
            if near[0].size
        },
        "seconds_per_frame": (time.process_time() - start) / frames,
    }


def _from(film: KeypointFilm) -> Video:
    """The film from its first to its last annotated frame."""
    first, last = int(film.frames[0]), int(film.frames[-1])
    if first == 0 and last == len(film.film) - 1:
        return film.film
    return FrameArray(film.film.read(range(first, last + 1)), film.film.fps, film.name)
