import weakref

import cv2
import numpy as np
import pytest
import torch

from mmcontrast.data.io.video import FrameArray, VideoError
from mmcontrast.encoders.base import Encoder
from mmcontrast.errors import InputError
from mmcontrast.inference.frame_features import FrameFeatures
from mmcontrast.ops.affinity import Window
from mmcontrast.predict import label_maps
from mmcontrast.predict.presets import PRESETS
from mmcontrast.predict.track import LabelPropagator

SIDE = 40


def texture(seed: int, height: int, width: int, tint: tuple[int, int, int]) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 90, (height // 6 + 1, width // 6 + 1, 3))
    return (cv2.resize(coarse.astype(np.float32), (width, height)) + tint).clip(0, 255).astype(np.uint8)


def moving_square(frames: int = 6, height: int = 120, width: int = 160, step: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """A reddish square over a bluish ground: the video (T, H, W, 3) and its masks (T, H, W)."""
    video = np.repeat(texture(0, height, width, (20, 60, 120))[None], frames, 0)
    masks = np.zeros((frames, height, width), np.uint8)
    square = texture(1, SIDE, SIDE, (140, 50, 20))
    for t in range(frames):
        y, x = 30 + t, 20 + step * t
        video[t, y : y + SIDE, x : x + SIDE] = square
        masks[t, y : y + SIDE, x : x + SIDE] = 1
    return video, masks


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return np.logical_and(a, b).sum() / np.logical_or(a, b).sum()


class Cells(Encoder):
    """Mean colors of 8 x 8 pixels, as an encoder."""

    def __init__(self):
        super().__init__((0.3, 0.3, 0.3), (0.2, 0.2, 0.2))
        self.dim, self.stride, self.image_size = 3, 8, 64

    def grid(self, image):
        return torch.nn.functional.avg_pool2d(self.normalize(image), 8)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_mask_follows_its_object(preset):
    video, masks = moving_square()
    got = LabelPropagator("lab", preset=preset, resolution=240).masks(video, masks[0])
    assert got.shape == masks.shape
    assert got.dtype == np.uint8
    assert (got[0] == masks[0]).all()
    assert iou(got[-1], masks[-1]) > 0.85
    assert iou(masks[0], masks[-1]) < 0.4


def test_ids_survive_and_any_encoder_serves():
    video, masks = moving_square()
    two = masks[0].astype(np.int64) * 7
    two[90:110, 120:150] = 200
    got = LabelPropagator(Cells(), resolution=240).masks(video, two)
    assert set(np.unique(got[-1])) == {0, 7, 200}
    assert iou(got[-1] == 200, two == 200) > 0.6


def test_points_follow_with_confidence_and_fade_when_hidden():
    video, _ = moving_square(8)
    start = [(30.0, 40.0), (50.0, 60.0), (140.0, 20.0)]
    hidden = video.copy()
    hidden[4:, :, 90:] = texture(5, 120, 70, (160, 160, 160))
    track = LabelPropagator("lab", resolution=240)
    points = track.points(video, start)
    assert points.xy.shape == (8, 3, 2)
    assert np.allclose(points.xy[0], start)
    truth = np.array(start) + np.array([[28, 7], [28, 7], [0, 0]])
    assert np.abs(points.xy[-1].numpy() - truth).max() < 4
    assert points.visible.all()
    assert ((points.confidence > 0) & (points.confidence <= 1)).all()
    gone = track.points(hidden, start)
    assert gone.confidence[-1, 2] < points.confidence[-1, 2]


def test_cycle_errors_are_distances_in_cells():
    first = torch.randn(6, 8, 32, generator=torch.Generator().manual_seed(0))
    moved = first.roll(2, 1)  # two cells to the right
    start = torch.tensor([[3.5, 3.5], [11.5, 19.5], [19.5, 3.5]])  # the centers of the cells (0, 0), (1, 2), (2, 0)
    end = start + torch.tensor([[16.0, 0], [16, 0], [24, 8]])  # the last is one cell off, each way
    errors = label_maps.cycle_errors(first, moved, start, end, (48, 64))
    torch.testing.assert_close(errors, torch.tensor([0, 0, 2**0.5]))


def test_a_cycle_makes_no_point_visible_and_moves_none():
    video, _ = moving_square(8)
    start = [(30.0, 40.0), (44.0, 56.0), (140.0, 20.0)]
    hidden = video.copy()
    hidden[4:, :, 90:] = texture(5, 120, 70, (160, 160, 160))
    plain = LabelPropagator("lab", resolution=240).points(hidden, start)
    strict = LabelPropagator("lab", resolution=240, max_cycle_error=3).points(hidden, start)
    assert torch.equal(strict.xy, plain.xy)
    assert not strict.visible[4:, 2].any()
    assert plain.visible[4:, 2].any()
    assert (strict.visible <= plain.visible).all()


def test_colors_come_back():
    video, _ = moving_square(4)
    gray = np.repeat(cv2.cvtColor(video.reshape(-1, 160, 3), cv2.COLOR_RGB2GRAY).reshape(*video.shape[:3], 1), 3, -1)
    track = LabelPropagator("lab", resolution=240)
    colored = track.colors(gray, video[0])
    assert (colored[0] == video[0]).all()
    assert np.abs(colored[-1].astype(int) - video[-1]).mean() < 0.4 * np.abs(gray[-1].astype(int) - video[-1]).mean()
    whole = np.concatenate([video[:1], gray[1:]])
    assert np.abs(track.colors(whole)[-1].astype(int) - colored[-1]).mean() < 4
    with pytest.raises(InputError, match="no colors"):
        track.colors(gray)
    with pytest.raises(InputError, match="wanted equal sizes"):
        track.colors(gray, video[0][:50])


def test_presets_remember_what_they_say():
    assert PRESETS["dino"].context(1) == [0]
    assert PRESETS["dino"].context(20) == [0, *range(13, 20)]
    assert PRESETS["mast"].context(4) == [0, 1, 3]
    assert PRESETS["mast"].context(30) == [0, 5, 25, 27, 29]
    assert PRESETS["vondrick"].context(2) == [0, 1]
    changed = PRESETS["crw"].changed(context=2, topk=3, radius=5, temperature=0.2)
    assert changed.context(9) == [0, 7, 8]
    assert (changed.topk, changed.window, changed.temperature) == (3, Window(5, "circle"), 0.2)


class Endless(FrameArray):
    """The same image many times, without holding it so often."""

    def __init__(self, frame: np.ndarray, count: int) -> None:
        super().__init__(frame[None])
        self.times = np.arange(count) / 25

    def __iter__(self):
        return (self._frames[0].copy() for _ in range(len(self)))


@pytest.mark.parametrize("preset", ["dino", "mast"])
def test_memory_does_not_grow_with_the_video(preset, monkeypatch):
    alive = weakref.WeakSet()
    forward = FrameFeatures.forward

    def watched(self, frame, gray=False):
        features = forward(self, frame, gray)
        alive.add(features)
        return features

    monkeypatch.setattr(FrameFeatures, "forward", watched)
    frame = texture(0, 64, 64, (0, 0, 0))
    track = LabelPropagator("lab", preset=preset, context=3, resolution=64)
    held = [len(alive) for _ in track.iter_masks(Endless(frame, 40), (frame[..., 0] > 50).astype(np.uint8))]
    assert max(held[10:]) == max(held[30:]) <= 7


def test_masks_and_points_that_do_not_fit():
    video, masks = moving_square(3)
    track = LabelPropagator("lab")
    wide = np.arange(120 * 160).reshape(120, 160) % 256
    cases = {
        "is 50x120, the video is 160x120": masks[0][:, :50],
        "is empty": np.zeros_like(masks[0]),
        "255 objects; at most 254": wide,
        "wanted": masks[0].astype(float),
        "ids from 0 to 300": masks[0].astype(int) * 300,
    }
    for message, mask in cases.items():
        with pytest.raises(InputError, match=message):
            track.masks(video, mask)
    for points, message in (
        ([(160, 5)], "160,5"),
        ([(3, 5), (-1, 4)], "-1,4"),
        ([(float("nan"), 1)], "nan,1"),
        ([], "wanted"),
    ):
        with pytest.raises(InputError, match=message):
            track.points(video, points)
    with pytest.raises(VideoError, match="one frame"):
        track.masks(video[:1], masks[0])


def test_settings_that_cannot_be():
    for arguments, message in (
        ({"model": "hog"}, "No model 'hog'"),
        ({"model": None}, "a NoneType is no model"),
        ({"model": "lab", "preset": "dyno"}, "dino, crw"),
        ({"model": "lab", "topk": 0}, "topk is 0"),
        ({"model": "lab", "temperature": 0.0}, "above 0"),
        ({"model": "lab", "temperature": float("nan")}, "above 0"),
        ({"model": "lab", "radius": float("nan")}, "radius is nan"),
        ({"model": "lab", "max_cycle_error": -1}, "max_cycle_error is -1"),
        ({"model": "lab", "resolution": 3}, "give 16 or more"),
    ):
        with pytest.raises(InputError, match=message):
            LabelPropagator(**arguments)


def test_bfloat16_gives_nearly_the_same_mask():
    video, masks = moving_square(4)
    full, half = (
        LabelPropagator("lab", resolution=240, dtype=d).masks(video, masks[0]) for d in (torch.float32, torch.bfloat16)
    )
    assert iou(full[-1], half[-1]) > 0.95
