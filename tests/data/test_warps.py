import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from mmcontrast.data.augment.find_matches import FindMatches
from mmcontrast.data.augment.warps import RandomWarp
from mmcontrast.data.datasets.image_pairs import FlowPairs, ImagePairs, flow_points
from mmcontrast.data.datasets.toy_scene import ToyScene, camera_around
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError
from mmcontrast.ops.geometry import pixel_grid, pixel_index, sample, take


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips") / "clip"
    folder.mkdir()
    scene = ToyScene(2)
    for i in range(6):
        color = scene.view(camera_around(0.01 * i), (120, 160)).color
        cv2.imwrite(str(folder / f"{i:05d}.png"), color[..., ::-1])
    return folder


def test_without_strength_a_warp_is_the_identity():
    still = RandomWarp(angle=0, zoom=1, shift=0, perspective=0, bend=0)
    xy = pixel_grid(24, 32)[None]
    torch.testing.assert_close(still.backward_map(torch.tensor([1]), xy, 24, 32), xy, rtol=1e-4, atol=2e-3)


def test_a_rotation_turns_about_the_center():
    turn = RandomWarp(angle=90, zoom=1, shift=0, perspective=0, bend=0)
    keys = torch.arange(40)
    xy = torch.tensor([[15.5, 11.5], [25.5, 11.5]]).expand(40, -1, -1)
    there = turn.backward_map(keys, xy, 24, 32)
    torch.testing.assert_close(there[:, 0], xy[:, 0], rtol=1e-3, atol=1e-2)
    torch.testing.assert_close((there[:, 1] - there[:, 0]).norm(dim=1), torch.full((40,), 10.0), rtol=1e-3, atol=1e-2)
    angle = torch.atan2(*(there[:, 1] - there[:, 0]).flip(1).unbind(1)).rad2deg()
    assert angle.min() < -60
    assert angle.max() > 60


def test_a_warp_depends_on_its_key_alone():
    warp, image = RandomWarp(), torch.rand(3, 3, 24, 32)
    together = warp.pairs(image, torch.tensor([4, 5, 6]), 50)
    alone = warp.pairs(image[1:2], torch.tensor([5]), 50)
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a[1:2], b)
    assert not torch.allclose(together[1][0], together[1][1])


def test_outside_the_image_the_warp_is_black_and_has_no_match():
    image = torch.ones(8, 3, 24, 32)
    warped, xy_a, xy_b, good = RandomWarp(shift=0.5).pairs(image, torch.arange(8), 400)
    assert not good.all()
    values = take(warped, pixel_index(xy_b, 24, 32))[..., 0]
    assert torch.equal(values == 0, ~good)
    torch.testing.assert_close(values[good], torch.ones(int(good.sum())))
    assert xy_a.isfinite().all()


def test_images_become_pairs(clip):
    data = ImagePairs(clip, size=(60, 80))
    out = FindMatches(200, non_matches=4)(default_collate([data[SampleKey(i, 1)] for i in range(3)]))
    assert out["image_a"].shape == (3, 3, 60, 80)
    assert out["is_match"].all()
    error = (sample(out["image_a"], out["match_a"]) - sample(out["image_b"], out["match_b"])).abs()
    assert error.max() < 1e-4
    assert not torch.equal(data[SampleKey(0, 1)]["image_a"], data[SampleKey(0, 2)]["image_a"])


def test_an_unreadable_image_is_reported_not_replaced(clip, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"nothing")
    assert "bad" in ImagePairs(tmp_path)[0]["corrupt"]


def test_flow_finds_where_the_camera_moved_the_scene(clip):
    data = FlowPairs(clip, size=(120, 160), gap=(2, 2))
    out = FindMatches(500, non_matches=4)(default_collate([data[SampleKey(0, e)] for e in range(4)]))
    assert (out["is_match"].sum(1) > 250).all()
    at_match = (sample(out["image_a"], out["match_a"]) - sample(out["image_b"], out["match_b"])).abs().mean(-1)
    at_same = (sample(out["image_a"], out["match_a"]) - sample(out["image_b"], out["match_a"])).abs().mean(-1)
    keep = out["is_match"]
    assert at_match[keep].mean() < 0.5 * at_same[keep].mean()


def test_clips_too_short_are_refused(clip):
    with pytest.raises(InputError, match="two frames 9 apart"):
        FlowPairs(clip, gap=(9, 12))


def test_flow_keeps_only_what_returns():
    g = np.random.default_rng(0)
    a, b = (ToyScene(seed).view(camera_around(0.0), (120, 160)).color for seed in (0, 1))
    points, _ = flow_points(a, b, 0.3, 500, g)
    same, there = flow_points(a, a, 0.3, 500, g)
    assert len(points) < 400
    assert len(same) == 500
    np.testing.assert_allclose(there, same, atol=0.1)
