import pytest
import torch
from torch.utils.data import default_collate

from mmcontrast.data.augment.affine_views import AffineViews
from mmcontrast.data.augment.find_matches import FindMatches
from mmcontrast.data.augment.pair_augment import PairAugment, mirror
from mmcontrast.data.datasets.toy_scene import ToyViews
from mmcontrast.errors import InputError
from mmcontrast.ops.geometry import sample, take


@pytest.fixture(scope="module")
def raw():
    data = ToyViews()
    return default_collate([data[i] for i in range(4)])


FIND = {"matches": 100, "non_matches": 6, "radius": 4, "occlusion": 0.006}


def test_mirrored_pixels_show_what_they_showed(raw):
    out = FindMatches(**FIND)(raw)
    flip = torch.tensor([True, False, True, False])
    turned = mirror(out, flip)
    assert torch.equal(turned["image_a"][0], out["image_a"][0].flip(2))
    assert torch.equal(turned["image_a"][1], out["image_a"][1])
    for side in "ab":
        before, after = (sample(o[f"image_{side}"], o[f"match_{side}"]) for o in (out, turned))
        torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-4)
    before, after = (take(o["image_b"], o["non_match"].flatten(1)) for o in (out, turned))
    assert torch.equal(before, after)


def test_backgrounds_change_and_objects_stay(raw):
    plain = FindMatches(**FIND)(raw)
    out = PairAugment(FindMatches(**FIND), flip=0, jitter=(0, 0, 0, 0), background=1)(raw)
    on_object = (raw["mask_a"] > 0)[:, None].expand_as(out["image_a"])
    assert torch.equal(out["image_a"][on_object], plain["image_a"][on_object])
    assert (out["image_a"] - plain["image_a"])[~on_object].abs().mean() > 0.1


def test_colors_change_apart_and_a_sample_is_augmented_alike_in_any_batch(raw):
    augment = PairAugment(FindMatches(**FIND))
    together = augment(raw)
    alone = augment({name: value[2:3] for name, value in raw.items()})
    for name in ("image_a", "image_b", "match_a", "non_match"):
        torch.testing.assert_close(together[name][2:3], alone[name])
    plain = FindMatches(**FIND)(raw)
    assert (together["image_a"].mean((2, 3)) - plain["image_a"].mean((2, 3))).abs().max() > 0.02
    assert together["image_a"].min() >= 0
    assert together["image_a"].max() <= 1


def test_a_wrong_jitter_is_refused():
    with pytest.raises(InputError, match="four strengths"):
        PairAugment(jitter=(0.1, 0.1))


def test_zoomed_and_turned_views_keep_their_correspondences(raw):
    views = AffineViews(zoom=(1.2, 1.6))
    out = FindMatches(**FIND)(views(raw))
    assert (out["is_match"].sum(1) > 20).all()
    assert not torch.equal(out["image_a"], FindMatches(**FIND)(raw)["image_a"])
    a, b = (sample(out[f"image_{side}"], out[f"match_{side}"])[out["is_match"]] for side in "ab")
    strangers = (a - b.roll(7, 0)).abs().mean()
    assert (a - b).abs().mean() < 0.5 * strangers


def test_a_view_that_is_not_changed_stays(raw):
    out = AffineViews(zoom=(1, 1), apart=1, stretch=1, turn=0)(raw)
    for name in ("image_a", "depth_b", "mask_a"):
        torch.testing.assert_close(out[name].float(), raw[name].float(), atol=1, rtol=0)
    torch.testing.assert_close(out["intrinsics_a"], raw["intrinsics_a"])


def test_a_wrong_zoom_is_refused():
    with pytest.raises(InputError, match="zoom"):
        AffineViews(zoom=(2, 1))
