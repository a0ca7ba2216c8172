"""What was tracked, drawn on the frames."""

from collections import deque

import cv2
import numpy as np

from mmcontrast.data.io.masks import palette

_COLORS = palette()
_TRAIL = 15  # frames


def draw_masks(frame: np.ndarray, mask: np.ndarray, strength: float = 0.5) -> np.ndarray:
    """Tints objects and outlines them: frame (H, W, 3) uint8, mask (H, W) uint8 ids -> (H, W, 3) uint8."""
    colors = _COLORS[mask]
    tinted = cv2.addWeighted(frame, 1 - strength, colors, strength, 0)
    kernel = np.ones((3, 3), np.uint8)
    edge = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, kernel) > 0
    out = np.where((mask > 0)[..., None], tinted, frame)
    out[edge] = 255
    return out


class PointDrawer:
    """Draws points with the way they came; a hollow mark is a point that is not visible."""

    def __init__(self) -> None:
        self._past: deque[np.ndarray] = deque(maxlen=_TRAIL)

    def __call__(self, frame: np.ndarray, xy: np.ndarray, visible: np.ndarray) -> np.ndarray:
        """The next frame of the video: (H, W, 3) uint8, (N, 2) pixels, (N,) bool -> (H, W, 3) uint8."""
        self._past.append(np.where(visible[:, None], xy, np.nan))
        out = np.ascontiguousarray(frame).copy()
        radius = max(2, round(min(frame.shape[:2]) / 120))
        for i, (place, seen) in enumerate(zip(xy, visible, strict=True)):
            color = tuple(int(c) for c in _COLORS[1 + i % 254])
            way = [past[i] for past in self._past if not np.isnan(past[i]).any()]
            cv2.polylines(out, [np.round(way).astype(np.int32)] if way else [], False, color, 1, cv2.LINE_AA)
            center = tuple(int(c) for c in np.round(place))
            cv2.circle(out, center, radius + 1, (255, 255, 255), -1 if seen else 1, cv2.LINE_AA)
            cv2.circle(out, center, radius, color, -1 if seen else 1, cv2.LINE_AA)
        return out
