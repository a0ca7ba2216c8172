import numpy as np
import pytest

from mmcontrast.evals.point_tracking import tapvid_metrics


def metrics(distance, visible, true_visible, query_frames=(0,)):
    """The metrics of one point, ``distance`` pixels off in each frame."""
    true_xy = np.zeros((1, len(distance), 2))
    xy = true_xy + np.array(distance, float)[None, :, None] * [1, 0]
    masks = (np.array([values], bool) for values in (visible, true_visible))
    predicted, true = masks
    return tapvid_metrics(xy, predicted, true_xy, true, np.array(query_frames))


def test_a_perfect_track():
    result = metrics([0, 0, 0], [1, 1, 0], [1, 1, 0])
    assert result.metrics == {"average_jaccard": 1, "delta_avg": 1, "occlusion_accuracy": 1}
    assert result.counts == {"num_points": 1, "num_visible": 1, "num_evaluated": 2}


def test_distances_by_hand():
    """Three pixels off is within 4, 8 and 16; 16 is within no threshold, since a distance must be smaller."""
    assert metrics([0, 3], [1, 1], [1, 1]).metrics["delta_avg"] == pytest.approx(3 / 5)
    assert metrics([0, 16], [1, 1], [1, 1]).metrics["delta_avg"] == 0
    assert metrics([0, 1], [1, 1], [1, 1]).metrics["delta_avg"] == pytest.approx(4 / 5)


def test_a_wrong_position_counts_twice_in_the_jaccard_index():
    """One of two points is right at every threshold, the other at none: 1 / (2 + 1)."""
    result = metrics([0, 0, 99], [1, 1, 1], [1, 1, 1]).metrics
    assert result["average_jaccard"] == pytest.approx(1 / 3)
    assert result["delta_avg"] == pytest.approx(1 / 2)


def test_wrong_visibility():
    """A visible point predicted hidden is missed; a hidden one predicted visible is a false positive."""
    result = metrics([0, 0, 0, 0], [1, 1, 0, 1], [1, 1, 1, 0]).metrics
    assert result["average_jaccard"] == pytest.approx(1 / 3)
    assert result["delta_avg"] == 1
    assert result["occlusion_accuracy"] == pytest.approx(1 / 3)


def test_the_query_frame_and_those_before_do_not_count():
    assert metrics([99, 99, 0], [1, 0, 1], [1, 1, 1], [1]).metrics["average_jaccard"] == 1
    assert metrics([0, 0], [1, 1], [1, 1], [1]).metrics["delta_avg"] is None
