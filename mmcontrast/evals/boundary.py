"""Region similarity J and contour accuracy F of two masks, as the DAVIS benchmark defines them.

Perazzi et al., CVPR 2016, section 4. https://davischallenge.org
"""

import functools

import cv2
import numpy as np
import numpy.typing as npt

TOLERANCE = 0.008  # a fraction of the image diagonal

BoolMask = npt.NDArray[np.bool_]


def region_similarity(mask: BoolMask, truth: BoolMask) -> float:
    """Computes J, the intersection over union of two masks.

    Args:
        mask: The predicted mask (H, W).
        truth: The true mask (H, W).

    Returns:
        J in [0, 1]; 1 if both masks are empty.

    >>> region_similarity(np.array([[True, True]]), np.array([[True, False]]))
    0.5
    """
    union = np.count_nonzero(mask | truth)
    return np.count_nonzero(mask & truth) / union if union else 1.0


def contour_accuracy(mask: BoolMask, truth: BoolMask, tolerance: float = TOLERANCE) -> float:
    """Computes F, the harmonic mean of contour precision and contour recall.

    A pixel of one contour is correct if the other contour comes within ``tolerance`` of it.

    Args:
        mask: The predicted mask (H, W).
        truth: The true mask (H, W).
        tolerance: The largest distance as a fraction of the image diagonal; it is rounded up to whole pixels.

    Returns:
        F in [0, 1]; 1 if both contours are empty.
    """
    radius = int(np.ceil(tolerance * np.hypot(*truth.shape)))
    mask_contour, true_contour = contour(mask), contour(truth)
    mask_length, true_length = np.count_nonzero(mask_contour), np.count_nonzero(true_contour)
    if not mask_length or not true_length:
        return float(mask_length == true_length)
    precision = np.count_nonzero(mask_contour & _dilate(true_contour, radius)) / mask_length
    recall = np.count_nonzero(true_contour & _dilate(mask_contour, radius)) / true_length
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def contour(mask: BoolMask) -> BoolMask:
    """Marks the pixels that differ from their right, lower or lower right neighbor.

    Args:
        mask: A mask (H, W).

    Returns:
        The contour (H, W).
    """
    edge = np.zeros_like(mask)
    edge[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    edge[:-1] |= mask[:-1] != mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return edge


def _dilate(edge: BoolMask, radius: int) -> BoolMask:
    return cv2.dilate(edge.view(np.uint8), _disk(radius)).view(np.bool_)


@functools.cache
def _disk(radius: int) -> npt.NDArray[np.uint8]:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disk: npt.NDArray[np.uint8] = (x * x + y * y <= radius * radius).astype(np.uint8)
    return disk
