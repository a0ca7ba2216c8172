import pytest
import torch

from mmcontrast.data.augment.pixel_sampling import draw_non_matches, draw_pixels

KEY = torch.tensor([3, 4])


def masks(height=20, width=30):
    mask = torch.zeros(2, height, width, dtype=torch.bool)
    mask[0, 5:9, 3:11] = True
    mask[1, 0, :] = mask[1, :, 0] = True
    return mask


def test_pixels_come_from_the_mask_and_from_all_of_it():
    mask = masks()
    index = draw_pixels(mask, torch.rand(2, 4000, generator=torch.Generator().manual_seed(0)))
    for row in range(2):
        assert set(index[row].tolist()) == set(mask[row].flatten().nonzero()[:, 0].tolist())


def test_draws_just_below_one_stay_in_their_mask():
    mask = masks()
    index = draw_pixels(mask, torch.full((2, 1), 1 - 2.0**-24))
    assert index[:, 0].tolist() == [mask[i].flatten().nonzero()[-1].item() for i in range(2)]


def test_an_empty_mask_gives_pixel_zero():
    mask = masks()
    mask[0] = False
    index = draw_pixels(mask, torch.rand(2, 50))
    assert index[0].tolist() == [0] * 50
    assert mask[1].flatten()[index[1]].all()


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_share_on_objects_is_as_asked(share):
    mask = masks()
    far = torch.full((2, 7, 2), -torch.inf)
    index = draw_non_matches(mask, torch.full((2,), share), far, KEY, count=40, radius=2)
    assert index.shape == (2, 7, 40)
    on_object = mask.flatten(1).gather(1, index.flatten(1)).view_as(index)
    assert (on_object.sum(2) == 40 * share).all()


def test_without_background_all_are_on_the_object_and_the_reverse():
    mask = masks()
    mask[0], mask[1] = True, False
    index = draw_non_matches(mask, torch.full((2,), 0.5), torch.full((2, 9, 2), -torch.inf), KEY, 30, 2)
    assert index.min() >= 0
    assert index.max() < mask[0].numel()
    assert len(index[0].unique()) > 150
    assert len(index[1].unique()) > 150


@pytest.mark.parametrize("radius", [1.0, 3.5, 7.0])
def test_no_non_match_lies_within_the_radius_not_even_on_a_small_object(radius):
    mask = masks()
    mask[0] = False
    mask[0, 6:8, 28:30] = True  # smaller than the radius, at the border
    match = torch.rand(2, 50, 2, generator=torch.Generator().manual_seed(1)) * torch.tensor([29.0, 19.0])
    match[0, 0] = torch.tensor([28.6, 6.4])
    match[0, 1] = torch.tensor([0.0, 0.0])
    index = draw_non_matches(mask, torch.full((2,), 0.5), match, KEY, 200, radius)
    offset = torch.stack([index % 30, index // 30], -1) - match[:, :, None]
    assert offset.norm(dim=-1).min() > radius
    assert index.min() >= 0
    assert index.max() < 600


def test_near_on_one_axis_alone_is_no_reason_to_move():
    # The public code tests |du| < 1 or |dv| < 1, which strikes whole rows and columns.
    mask = torch.ones(1, 20, 30, dtype=torch.bool)
    index = draw_non_matches(mask, torch.ones(1), torch.full((1, 1, 2), 10.0), KEY[:1], 20_000, 3)
    x, y = index % 30, index // 30
    assert ((y == 10) & (x < 7)).any()
    assert ((x == 10) & (y < 7)).any()


def test_a_sample_is_drawn_alike_in_any_batch_and_everything_is_drawn_evenly():
    mask, match = masks(), torch.full((2, 2000, 2), -torch.inf)
    share = torch.tensor([0.5, 0.25])
    together = draw_non_matches(mask, share, match, KEY, 100, 2)
    alone = [
        draw_non_matches(mask[i : i + 1], share[i : i + 1], match[i : i + 1], KEY[i : i + 1], 100, 2) for i in (0, 1)
    ]
    assert torch.equal(together, torch.cat(alone))
    drawn = together[0, :655]  # later matches take the same rows again
    assert torch.equal(together[0, 655:1310], drawn)
    hits = drawn.flatten().bincount(minlength=600)[mask[0].flatten()].float()
    expected = 32_750 / mask[0].sum()
    assert (hits - expected).abs().max() < 5 * expected.sqrt()
