"""Region similarity J and contour accuracy F of two masks, as the DAVIS benchmark defines them.

Perazzi et al., CVPR 2016, section 4. https://davischallenge.org
"""

import functools

import cv2
import numpy as np

TOLERANCE = 0.008  # of the image diagonal


def region_similarity(mask: np.ndarray, truth: np.ndarray) -> float:
    """J: intersection over union of two (H, W) bool masks; 1 where both are empty."""
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 1.0


def contour_accuracy(mask: np.ndarray, truth: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """F: harmonic mean of how much of each mask's contour lies near the other's.

    Args:
        mask, truth: (H, W) bool.
        tolerance: what is near, as a fraction of the image diagonal; rounded up to whole pixels.
    """
    reach = int(np.ceil(tolerance * np.hypot(*truth.shape)))
    ours, theirs = contour(mask), contour(truth)
    found, wanted = np.count_nonzero(ours), np.count_nonzero(theirs)
    if not found or not wanted:
        return float(found == wanted)
    precision = np.count_nonzero(ours & _dilate(theirs, reach)) / found
    recall = np.count_nonzero(theirs & _dilate(ours, reach)) / wanted
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def contour(mask: np.ndarray) -> np.ndarray:
    """(H, W) bool -> (H, W) bool: pixels that differ from their neighbor right, below or right below."""
    edge = np.zeros_like(mask)
    edge[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    edge[:-1] |= mask[:-1] != mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return edge


def _dilate(edge: np.ndarray, reach: int) -> np.ndarray:
    return cv2.dilate(edge.view(np.uint8), _disk(reach)).view(bool)


@functools.cache
def _disk(radius: int) -> np.ndarray:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    return (x * x + y * y <= radius * radius).astype(np.uint8)
