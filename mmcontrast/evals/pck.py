"""Percentage of correct keypoints: joints of the first annotated frame, tracked through the video."""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from mmcontrast.data.datasets.keypoints import KeypointVideo
from mmcontrast.data.io.video import FrameArray, Video
from mmcontrast.errors import InputError
from mmcontrast.predict.results import TrackedPoints


class PointTracker(Protocol):
    """What carries points through a video."""

    def iter_points(self, video: Video, points: np.ndarray) -> Iterator[TrackedPoints]:
        """``TrackedPoints`` of each frame."""
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
    videos: Iterable[KeypointVideo],
    tracker: PointTracker,
    thresholds: Sequence[float] = (0.1, 0.2),
    progress: bool = False,
) -> dict[str, Any]:
    """PCK over all visible joints of all annotated frames after the first.

    Returns:
        ``pck@THRESHOLD`` for each in [0, 1], ``n`` joints compared, ``per_sequence`` and ``seconds_per_frame``.
    Raises:
        InputError: no joint is visible both in a video's first annotated frame and in a later one.
    """
    hits: dict[str, list[np.ndarray]] = {}
    frames, start = 0, time.process_time()
    for video in tqdm(videos, disable=not progress, unit="video"):
        tracked = video.visible[0]
        wanted = dict(zip((video.frames - video.frames[0]).tolist(), range(len(video.frames)), strict=True))
        found = np.full_like(video.xy[:, tracked], np.nan)
        for number, points in enumerate(tracker.iter_points(_from(video), video.xy[0, tracked])):
            frames += 1
            if number in wanted:
                found[wanted[number]] = points.xy.numpy()
        seen = video.visible[1:, tracked]  # (A - 1, N)
        near = [correct(found[1:], video.xy[1:, tracked], video.size[1:], t)[seen] for t in thresholds]
        hits[video.name] = near
    if not any(near[0].size for near in hits.values()):
        raise InputError("no joint is visible both in a first annotated frame and in a later one")
    names = [f"pck@{t:g}" for t in thresholds]
    total = [np.concatenate(part) for part in zip(*hits.values(), strict=True)]
    return {
        **{name: float(part.mean()) for name, part in zip(names, total, strict=True)},
        "n": int(total[0].size),
        "per_sequence": {
            video: {name: float(part.mean()) for name, part in zip(names, near, strict=True)} | {"n": int(near[0].size)}
            for video, near in hits.items()
            if near[0].size
        },
        "seconds_per_frame": (time.process_time() - start) / frames,
    }


def _from(video: KeypointVideo) -> Video:
    """The video from its first to its last annotated frame."""
    first, last = int(video.frames[0]), int(video.frames[-1])
    if first == 0 and last == len(video.video) - 1:
        return video.video
    return FrameArray(video.video.read(range(first, last + 1)), video.video.fps, video.name)
