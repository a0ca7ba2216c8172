"""Masks at any frames: both ways, blended between, and no effect beyond the next annotation."""

import numpy as np
import pytest
import torch

from mmcontrast.data.io.video import FrameArray
from mmcontrast.errors import InputError
from mmcontrast.predict.keyframes import propagate_between
from mmcontrast.predict.label_maps import stretched
from mmcontrast.predict.track import LabelPropagator
from tests.predict.test_track import iou, moving_square, texture

FRAMES = 9


@pytest.fixture(scope="module")
def track() -> LabelPropagator:
    return LabelPropagator("lab", resolution=120)


def test_the_first_frame_alone_is_the_same_as_before(track):
    video, masks = moving_square(FRAMES)
    assert (track.masks(video, {0: masks[0]}) == track.masks(video, masks[0])).all()


@pytest.mark.parametrize("annotated", [[8], [4], [0, 8], [2, 6], [3, 4]])
def test_a_mask_goes_both_ways_from_any_frame(track, annotated):
    video, masks = moving_square(FRAMES)
    found = track.masks(video, {number: masks[number] for number in reversed(annotated)})
    assert found.shape == masks.shape
    for number in range(FRAMES):
        assert iou(found[number], masks[number]) > (0.999 if number in annotated else 0.8)


def test_an_object_may_appear_and_another_may_leave(track):
    video, masks = moving_square(FRAMES)
    second = np.zeros_like(masks[0])
    second[80:110, 100:140] = 7
    video[5:, 80:110, 100:140] = texture(3, 30, 40, (20, 160, 20))  # it is not there before frame 5
    found = track.masks(video, {0: masks[0], 5: masks[5] + second})
    assert not (found[0] == 7).any()
    assert (found[1] == 7).mean() < 0.01
    assert iou(found[8] == 7, second == 7) > 0.7
    assert iou(found[8] == 1, masks[8] == 1) > 0.75
    gone = track.masks(video, {0: masks[0], 5: np.zeros_like(masks[0])})
    assert not gone[5:].any()
    assert iou(gone[1], masks[1]) > 0.8


def test_a_correction_changes_only_what_is_near(track):
    video, masks = moving_square(FRAMES)
    before = track.masks(video, {2: masks[2], 5: masks[5]})
    wrong = np.zeros_like(masks[0])
    wrong[5:25, 5:25] = 1
    after = track.masks(video, {2: masks[2], 5: masks[5], 8: wrong})
    assert (after[:6] == before[:6]).all()
    assert (after[8] == wrong).all()
    assert (after[6:8] != before[6:8]).any()


def test_the_weights_are_distance_times_confidence():
    video = FrameArray(np.zeros((5, 8, 8, 3), np.uint8))
    runs = []

    def propagate(frames, annotated):
        numbers = len(list(frames))
        runs.append((annotated, numbers))
        certain = 1.0 if annotated == 0 else 0.5
        label = torch.tensor([certain, 0.0] if annotated == 0 else [0.0, certain])
        return (label.expand(2, 2, 2) for _ in range(numbers))

    labels = list(propagate_between(video, [0, 4], propagate))
    assert [soft is None for soft in labels] == [True, False, False, False, True]
    assert sorted(runs) == [(0, 4), (4, 4)]
    for number in (1, 2, 3):
        forward, backward = (4 - number) / 4, 0.5 * number / 4
        expected = torch.tensor([forward, 0.5 * backward]) / (forward + backward)
        torch.testing.assert_close(labels[number][0, 0], expected, atol=1e-3, rtol=0)


def test_labels_that_are_0_everywhere_stay_0():
    labels = torch.zeros(2, 2, 2)
    labels[0, 0, 0] = 0.2
    assert stretched(labels)[..., 0].flatten().tolist() == pytest.approx([1, 0, 0, 0])
    assert not stretched(labels)[..., 1].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda mask: {}, "no annotations"),
        (lambda mask: {9: mask}, "mask of frame 9: array has the frames 0 to 8"),
        (lambda mask: {-1: mask}, "mask of frame -1"),
        (lambda mask: {0: mask, 4: mask[:50]}, "mask of frame 4: is 160x50, the video is 160x120"),
        (lambda mask: {0: mask * 0, 4: mask * 0}, "the masks are empty"),
        (lambda mask: {0: mask, 3: "mask.png"}, "mask of frame 3: is a str"),
        (lambda mask: "mask.png", "is a str; wanted an array"),
    ],
)
def test_annotations_that_cannot_be(track, change, message):
    video, masks = moving_square(FRAMES)
    with pytest.raises(InputError, match=message):
        track.iter_masks(video, change(masks[0]))
