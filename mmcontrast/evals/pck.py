"""Percentage of correct keypoints: joints of the first annotated frame, tracked through the video."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from mmcontrast.data.datasets.keypoints import KeypointVideo
from mmcontrast.data.io.video import FrameArray, Video
from mmcontrast.errors import InputError
from mmcontrast.evals.results import EvalResult
from mmcontrast.predict.tracker import Tracker


def is_correct(xy: np.ndarray, true_xy: np.ndarray, size: np.ndarray, threshold: float) -> npt.NDArray[np.bool_]:
    """Tells which points lie within ``threshold`` times the object's size of the true points.

    Args:
        xy: Predicted points (A, N, 2) in pixels.
        true_xy: True points (A, N, 2) in pixels.
        size: Size of the object in each frame (A,) in pixels.
        threshold: The largest distance as a fraction of the size.

    Returns:
        (A, N) bool.
    """
    distance = np.linalg.norm(xy - true_xy, axis=-1)
    correct: npt.NDArray[np.bool_] = distance <= threshold * size[:, None]
    return correct


def evaluate_keypoints(
    videos: Iterable[KeypointVideo],
    tracker: Tracker,
    thresholds: Sequence[float] = (0.1, 0.2),
    progress: bool = False,
) -> EvalResult:
    """Measures PCK over all visible joints of all annotated frames after the first.

    Args:
        videos: Videos with annotated joints.
        tracker: The tracker, which gets the joints of the first annotated frame.
        thresholds: Largest distances as fractions of the object's size.
        progress: Whether to draw a progress bar on stderr.

    Returns:
        ``pck@THRESHOLD`` for each threshold, in [0, 1], ``per_sequence``, and ``seconds_per_frame`` of CPU time.

    Raises:
        InputError: No joint is visible both in a video's first annotated frame and in a later one.
    """
    correct: dict[str, list[npt.NDArray[np.bool_]]] = {}
    num_frames, start = 0, time.process_time()
    for video in tqdm(videos, disable=not progress, unit="video"):
        is_tracked = video.visible[0]
        rows = dict(zip((video.frames - video.frames[0]).tolist(), range(len(video.frames)), strict=True))
        xy = np.full_like(video.xy[:, is_tracked], np.nan)
        for number, points in enumerate(tracker.iter_points(_annotated_part(video), video.xy[0, is_tracked])):
            num_frames += 1
            if number in rows:
                xy[rows[number]] = points.xy.numpy()
        visible = video.visible[1:, is_tracked]  # (A - 1, N)
        true_xy, size = video.xy[1:, is_tracked], video.size[1:]
        correct[video.name] = [is_correct(xy[1:], true_xy, size, t)[visible] for t in thresholds]
    if not any(by_threshold[0].size for by_threshold in correct.values()):
        raise InputError("no joint is visible both in a first annotated frame and in a later one")
    total = [np.concatenate(parts) for parts in zip(*correct.values(), strict=True)]
    return EvalResult(
        metrics={
            **_means(total, thresholds),
            "per_sequence": {
                name: _means(part, thresholds) | {"num_points": int(part[0].size)}
                for name, part in correct.items()
                if part[0].size
            },
            "seconds_per_frame": (time.process_time() - start) / num_frames,
        },
        counts={"num_videos": len(correct), "num_points": int(total[0].size)},
        settings={"thresholds": list(thresholds)},
    )


def _means(correct: Sequence[npt.NDArray[np.bool_]], thresholds: Sequence[float]) -> dict[str, Any]:
    return {f"pck@{t:g}": float(part.mean()) for t, part in zip(thresholds, correct, strict=True)}


def _annotated_part(video: KeypointVideo) -> Video:
    """Returns the video from its first to its last annotated frame."""
    first, last = int(video.frames[0]), int(video.frames[-1])
    if first == 0 and last == len(video.video) - 1:
        return video.video
    return FrameArray(video.video.read(range(first, last + 1)), video.video.fps, video.name)
