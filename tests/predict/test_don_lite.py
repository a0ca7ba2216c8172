"""The bundled model for matching finds what it should."""

import cv2
import numpy as np
import pytest
import torch

from mmcontrast.cli.quickstart import PHOTOGRAPHS
from mmcontrast.data.augment.warps import RandomWarp
from mmcontrast.data.datasets.toy_scene import ToyScene, camera_around
from mmcontrast.models import bundled
from mmcontrast.ops.geometry import reproject
from mmcontrast.predict.match import DescriptorMatcher

NAME = "don-lite"
pytestmark = pytest.mark.skipif(NAME not in bundled(), reason=f"{NAME} is not bundled")


@pytest.fixture(scope="module")
def matcher():
    return DescriptorMatcher(NAME, device="cpu")


def test_points_of_a_photograph_are_found_after_a_warp(matcher):
    file = next(p.file() for p in PHOTOGRAPHS if p.path.endswith("china.jpg"))
    photograph = cv2.resize(cv2.imread(str(file))[..., ::-1], (320, 240), interpolation=cv2.INTER_AREA)
    image = torch.from_numpy(photograph).permute(2, 0, 1)[None].float() / 255
    warped, at, true, good = RandomWarp().pairs(image, torch.tensor([5]), 80)
    matcher.set_reference(photograph)
    found = matcher.find((warped[0].permute(1, 2, 0) * 255).byte().numpy(), at[good].numpy()).xy
    assert (found - true[good]).norm(dim=1).median() < 5


def test_points_of_balls_are_found_from_another_side(matcher):
    poses = camera_around(0.3), camera_around(0.7)
    a, b = (ToyScene(3).view(pose, (240, 320)) for pose in poses)
    y, x = np.nonzero(a.mask)
    some = np.random.default_rng(0).choice(len(x), 200, replace=False)
    at = torch.from_numpy(np.stack([x[some], y[some]], 1)).float()
    depth = torch.from_numpy(a.depth[y[some], x[some]].astype(np.float32)) / 1000
    motion = torch.from_numpy(np.linalg.inv(poses[1]) @ poses[0]).float()
    lens = torch.from_numpy(a.intrinsics).float()[None]
    true, depth_b = (t[0] for t in reproject(at[None], depth[None], lens, motion[None], lens))
    column, row = true.round().long().clamp(min=0).unbind(1)
    seen = torch.from_numpy(b.depth.astype(np.float32))[row.clamp(max=239), column.clamp(max=319)] / 1000
    visible = (seen - depth_b).abs() < 0.005
    matcher.set_reference(a.color)
    found = matcher.find(b.color, at[visible].numpy()).xy
    assert (found - true[visible]).norm(dim=1).median() < 8
