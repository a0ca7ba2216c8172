import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from mmcontrast.data.augment.find_matches import FindMatches
from mmcontrast.data.datasets.toy_scene import ToyViews
from mmcontrast.data.datasets.view_pair import GIVEN, WARPED, raw_pair
from mmcontrast.data.sampler import SampleKey
from mmcontrast.errors import InputError
from mmcontrast.ops.geometry import sample

K = np.array([[50.0, 0, 31.5], [0, 50, 23.5], [0, 0, 1]])
SIZE = (48, 64)


def wall_pair(shift=0.0, index=0, depth_b=1000, depth_a=1000, **options):
    """A wall 1 m ahead; camera b stands ``shift`` meters to the right, so that points move 50 * shift pixels left."""
    image = np.random.default_rng(index).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    motion = np.eye(4)
    motion[0, 3] = -shift
    depth = tuple(np.broadcast_to(np.uint16(d), SIZE) for d in (depth_a, depth_b))
    options = {"depth": depth, "intrinsics": (K, K), "motion": motion} | options
    return raw_pair(SampleKey(index), image, image, **options)


def find(*samples, **options):
    return FindMatches(**{"matches": 200, "attempts": 2000, "non_matches": 10, "radius": 3} | options)(
        default_collate(list(samples))
    )


def matches_of(out, row=0):
    keep = out["is_match"][row]
    return out["match_a"][row][keep], out["match_b"][row][keep]


def test_matches_follow_the_camera_exactly():
    a, b = matches_of(find(wall_pair(0.1)))
    assert len(a) == 200
    torch.testing.assert_close(b, a - torch.tensor([5.0, 0.0]))
    assert (a[:, 0] >= 4.5).all()


def test_matches_in_row_and_column_zero_are_kept():
    mask = np.zeros(SIZE, np.uint8)
    mask[0, :] = mask[:, 0] = 1
    a, b = matches_of(find(wall_pair(0.0, mask=(mask, mask)), matches=2000))
    assert len(a) == 2000
    assert (a[:, 1] == 0).any()
    assert (a[:, 0] == 0).any()
    assert (a == 0).all(1).any()  # the corner itself, which the public code takes for "invalid"
    torch.testing.assert_close(a, b)


def test_matches_of_a_ray_cast_scene_show_the_same_color():
    data = ToyViews(size=(96, 128))
    out = find(*[data[i] for i in range(4)], matches=400, occlusion=0.006)
    color_a, color_b = (sample(out[f"image_{s}"], out[f"match_{s}"]) for s in "ab")
    keep = out["is_match"]
    assert (keep.sum(1) > 200).all()
    assert (color_a - color_b).abs().mean(-1)[keep].mean() < 4 / 255
    assert (color_a - color_b.roll(1, 1)).abs().mean(-1)[keep].mean() > 20 / 255


@pytest.mark.parametrize(("depth_b", "kept"), [(1000, True), (998, True), (996, False), (900, False), (0, False)])
def test_what_b_sees_in_front_hides_the_match_beyond_three_millimeters(depth_b, kept):
    assert find(wall_pair(0.0, depth_b=depth_b))["is_match"].any() == kept


def test_the_tolerances_can_be_set():
    assert not find(wall_pair(depth_b=980))["is_match"].any()
    assert find(wall_pair(depth_b=980), occlusion=0.021)["is_match"].any()
    assert find(wall_pair(depth_b=980), relative=0.02)["is_match"].any()


def test_pixels_without_depth_have_no_match():
    depth = np.full(SIZE, 1000, np.uint16)
    depth[:, :32] = 0
    a, _ = matches_of(find(wall_pair(0.0, depth=(depth, np.full(SIZE, 1000, np.uint16)))))
    assert len(a)
    assert (a[:, 0] >= 32).all()
    assert not find(wall_pair(depth_a=0))["is_match"].any()


def test_views_without_overlap_give_no_match_and_no_nan():
    out = find(wall_pair(9.0))
    assert not out["is_match"].any()
    assert not out["anchor"].any()
    assert out["match_b"].isfinite().all()


def test_a_match_stays_on_its_object():
    mask_a, mask_b = np.ones(SIZE, np.uint8), np.ones(SIZE, np.uint8)
    mask_b[:, :20] = 2
    _, b = matches_of(find(wall_pair(0.0, mask=(mask_a, mask_b))))
    assert len(b)
    assert (b[:, 0] >= 20).all()


def test_every_object_has_its_own_motion():
    mask = np.ones(SIZE, np.uint8)
    mask[:, 32:] = 2
    motion = np.full((3, 4, 4), np.nan)
    motion[1] = motion[2] = np.eye(4)
    motion[2, 1, 3] = 0.1  # object 2 moves 5 pixels down
    a, b = matches_of(find(wall_pair(mask=(mask, mask), motion=motion)))
    right = a[:, 0] >= 32
    torch.testing.assert_close(b[~right], a[~right])
    torch.testing.assert_close(b[right], a[right] + torch.tensor([0.0, 5.0]))
    motion[2] = np.nan
    a, _ = matches_of(find(wall_pair(mask=(mask, mask), motion=motion)))
    assert len(a)
    assert (a[:, 0] < 32).all()


def test_blind_pairs_have_anchors_on_the_object_but_no_matches():
    mask = np.zeros(SIZE, np.uint8)
    mask[10:20, 10:30] = 1
    out = find(wall_pair(motion=None, mask=(mask, mask), blind=True, masked_fraction=1.0, depth=None))
    assert not out["is_match"].any()
    assert out["anchor"].all()
    x, y = out["match_a"][0].long().T
    assert torch.from_numpy(mask)[y, x].all()
    assert torch.from_numpy(mask).flatten()[out["non_match"]].all()
    nothing = np.zeros(SIZE, np.uint8)
    assert not find(wall_pair(motion=None, mask=(nothing, mask), blind=True))["anchor"].any()


def test_warped_pairs_show_the_same_color_at_their_matches():
    image = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), dtype=np.uint8)
    out = find(raw_pair(SampleKey(5), image, image, source=WARPED), wall_pair(0.1))
    assert out["is_match"].all()
    a, b = matches_of(out)
    assert (a - b).norm(dim=1).median() > 3
    difference = sample(out["image_a"], out["match_a"]) - sample(out["image_b"], out["match_b"])
    assert difference[0].abs().max() < 1e-4
    torch.testing.assert_close(out["match_b"][1], out["match_a"][1] - torch.tensor([5.0, 0.0]))


def test_given_points_are_taken_as_they_are():
    a = np.array([[1.0, 2], [30, 40]])
    out = find(wall_pair(source=GIVEN, given=(a, a + 0.5), motion=None))
    got_a, got_b = matches_of(out)
    torch.testing.assert_close(got_a, torch.from_numpy(a).float())
    torch.testing.assert_close(got_b, torch.from_numpy(a + 0.5).float())


def test_a_sample_finds_the_same_matches_in_any_batch():
    data = ToyViews()
    together = find(*[data[i] for i in range(3)])
    alone = find(data[1])
    for name in ("match_a", "match_b", "is_match", "non_match", "image_b"):
        torch.testing.assert_close(together[name][1], alone[name][0])


def test_matches_come_first_and_the_rest_is_padding():
    out = find(wall_pair(0.9), matches=2000)
    is_match = out["is_match"][0]
    count = int(is_match.sum())
    assert 0 < count < 2000
    assert is_match[:count].all()


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(InputError, match="fewer than the 200"):
        FindMatches(matches=200, attempts=10)
    with pytest.raises(InputError, match="radius 20"):
        find(wall_pair(), radius=20)
    with pytest.raises(InputError, match="object number 16"):
        raw_pair(SampleKey(0), *[np.zeros((4, 4, 3), np.uint8)] * 2, mask=(np.full((4, 4), 16, np.uint8),) * 2)
