"""The interface of trackers: annotations of a video's first frame in, one result per frame out."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mmcontrast.data.io.video import Video, VideoError, open_video
from mmcontrast.predict.results import ImageArray, TrackedPoints

VideoSource = str | Path | npt.NDArray[np.uint8] | Video
MaskArray = npt.NDArray[Any]  # (H, W) ids of objects, integers or bool
PointsLike = Sequence[tuple[float, float]] | npt.NDArray[np.floating[Any]]


class Tracker:
    """Carries masks and points of the first frame through a video.

    A video is a path, a folder of frames, a (T, H, W, 3) uint8 array, or an open ``Video``. The methods that begin with
    ``iter`` return one frame at a time, so that memory does not grow with the length of the video.
    """

    def iter_masks(self, video: VideoSource, mask: MaskArray) -> Iterator[ImageArray]:
        """Returns the object ids frame by frame.

        Args:
            video: The video.
            mask: (H, W) ids of the objects in the first frame, 0 for the background.

        Returns:
            An iterator over (H, W) uint8 masks with the same ids; the first is the mask itself.

        Raises:
            InputError: The mask does not fit the video.
            VideoError: The video cannot be read.
        """
        raise NotImplementedError

    def iter_points(self, video: VideoSource, points: PointsLike) -> Iterator[TrackedPoints]:
        """Returns the positions of points frame by frame.

        Args:
            video: The video.
            points: N points (x, y) in the first frame, in pixels.

        Returns:
            An iterator over ``TrackedPoints``; the first are the points themselves.

        Raises:
            InputError: A point lies outside the frame.
            VideoError: The video cannot be read.
        """
        raise NotImplementedError

    def masks(self, video: VideoSource, mask: MaskArray) -> ImageArray:
        """Returns the object ids in every frame, (T, H, W) uint8; see ``iter_masks``."""
        return np.stack(list(self.iter_masks(video, mask)))

    def points(self, video: VideoSource, points: PointsLike) -> TrackedPoints:
        """Returns the positions of points in every frame, with a leading axis of T frames; see ``iter_points``."""
        frames = list(self.iter_points(video, points))
        return TrackedPoints(
            *(torch.stack([getattr(frame, name) for frame in frames]) for name in ("xy", "confidence", "visible"))
        )


def open_with_frames(source: VideoSource, least: int = 2) -> Video:
    """Returns an open video.

    Raises:
        VideoError: It cannot be read, or has fewer frames than ``least``.
    """
    video = open_video(source)
    if len(video) < least:
        raise VideoError(f"{video.name}: has one frame; tracking needs at least two")
    return video


def certain(xy: npt.NDArray[np.float32]) -> TrackedPoints:
    """Returns (N, 2) points as visible ones of confidence 1."""
    return TrackedPoints(torch.tensor(xy, dtype=torch.float32), torch.ones(len(xy)), torch.ones(len(xy)).bool())
