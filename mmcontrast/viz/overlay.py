"""Tracked masks and points drawn on frames."""

from collections import deque
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from mmcontrast.data.io.masks import palette

_COLORS = palette()
_TRAIL = 15  # frames

ImageArray = npt.NDArray[np.uint8]


def draw_masks(frame: ImageArray, mask: ImageArray, opacity: float = 0.5) -> ImageArray:
    """Colors objects and outlines them in white.

    Args:
        frame: (H, W, 3) uint8.
        mask: Object numbers (H, W) uint8, 0 for the background.
        opacity: Weight of an object's color, in [0, 1].

    Returns:
        (H, W, 3) uint8.
    """
    tinted = cv2.addWeighted(frame, 1 - opacity, _COLORS[mask], opacity, 0)
    edge = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    drawn: ImageArray = np.where((mask > 0)[..., None], tinted, frame)
    drawn[edge] = 255
    return drawn


class PointDrawer:
    """Draws points on the frames of a video, with their paths over the last frames.

    A hollow mark is a point that is not visible.
    """

    def __init__(self) -> None:
        self._past: deque[npt.NDArray[np.floating[Any]]] = deque(maxlen=_TRAIL)

    def __call__(
        self, frame: ImageArray, xy: npt.NDArray[np.floating[Any]], visible: npt.NDArray[np.bool_]
    ) -> ImageArray:
        """Draws points on the next frame of the video.

        Args:
            frame: (H, W, 3) uint8.
            xy: Points (N, 2) in pixels.
            visible: Whether each point is visible (N,).

        Returns:
            (H, W, 3) uint8.
        """
        self._past.append(np.where(visible[:, None], xy, np.nan))
        drawn = np.ascontiguousarray(frame).copy()
        radius = max(2, round(min(frame.shape[:2]) / 120))
        for i, (point, is_visible) in enumerate(zip(xy, visible, strict=True)):
            color = tuple(int(c) for c in _COLORS[1 + i % 254])
            path = [past[i] for past in self._past if not np.isnan(past[i]).any()]
            cv2.polylines(drawn, [np.round(path).astype(np.int32)] if path else [], False, color, 1, cv2.LINE_AA)
            center = (round(float(point[0])), round(float(point[1])))
            cv2.circle(drawn, center, radius + 1, (255, 255, 255), -1 if is_visible else 1, cv2.LINE_AA)
            cv2.circle(drawn, center, radius, color, -1 if is_visible else 1, cv2.LINE_AA)
        return drawn
