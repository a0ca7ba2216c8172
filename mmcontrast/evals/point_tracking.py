"""The metrics of TAP-Vid for tracked points (Doersch et al. 2022, https://arxiv.org/abs/2211.03726, section 5)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mmcontrast.evals.results import EvalResult

THRESHOLDS = (1, 2, 4, 8, 16)  # pixels of a frame that is resized to 256 x 256

BoolArray = npt.NDArray[np.bool_]


def tapvid_metrics(
    xy: np.ndarray,
    visible: BoolArray,
    true_xy: np.ndarray,
    true_visible: BoolArray,
    query_frames: np.ndarray,
    thresholds: Sequence[float] = THRESHOLDS,
) -> EvalResult:
    """Measures tracked points of one video, in the frames after each point's query frame ("first" evaluation).

    A visible point is correct at a threshold if its distance is smaller. The Jaccard index at a threshold is
    TP / (V + FP): TP counts the correct points that are predicted visible, V all visible points, and FP the points that
    are predicted visible but are hidden or not correct.

    Args:
        xy: Predicted points (N, T, 2) in pixels of a frame of 256 x 256.
        visible: Whether each point is predicted visible (N, T).
        true_xy: True points (N, T, 2) in the same pixels.
        true_visible: Whether each point is visible (N, T).
        query_frames: The frame in which each point is given to the tracker (N,).
        thresholds: Distances in pixels.

    Returns:
        ``average_jaccard``, ``delta_avg`` (the fraction of visible points within a threshold, averaged over the
        thresholds) and ``occlusion_accuracy`` in [0, 1]; None where nothing can be measured.
    """
    is_evaluated = np.arange(xy.shape[1]) > query_frames[:, None]  # (N, T)
    is_true = true_visible & is_evaluated
    is_predicted = visible & is_evaluated
    distance = np.linalg.norm(xy - true_xy, axis=-1)
    within, jaccard = [], []
    for threshold in thresholds:
        is_correct = (distance < threshold) & is_true
        true_positives = int((is_correct & is_predicted).sum())
        false_positives = int((is_predicted & ~is_correct).sum())
        within.append(_ratio(int(is_correct.sum()), int(is_true.sum())))
        jaccard.append(_ratio(true_positives, int(is_true.sum()) + false_positives))
    agrees = int((visible == true_visible)[is_evaluated].sum())
    return EvalResult(
        metrics={
            "average_jaccard": _mean(jaccard),
            "delta_avg": _mean(within),
            "occlusion_accuracy": _ratio(agrees, int(is_evaluated.sum())),
        },
        counts={"num_points": len(xy), "num_visible": int(is_true.sum()), "num_evaluated": int(is_evaluated.sum())},
        settings={"thresholds": list(thresholds)},
    )


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
