import torch

from mmcontrast.ops.holes import border, center_hole, random_region


def test_the_center_hole_covers_its_fraction():
    hole = center_hole(16, 32)[0, 0]
    assert hole[4:12, 8:24].all()
    assert hole.sum() == 8 * 16
    assert center_hole(5, 5, 0.001).sum() == 1


def test_random_regions_have_their_fraction_in_few_pieces_by_their_key():
    key = torch.arange(40)
    hole = random_region(key, 32, 48, stream=1)
    assert hole.shape == (40, 1, 32, 48)
    assert (hole.sum((1, 2, 3)) == 0.25 * 32 * 48).all()
    assert (hole.float().mean((0, 1)) - 0.25).abs().max() < 0.35  # everywhere
    beside = (hole[..., 1:] & hole[..., :-1]).sum() / hole[..., :-1].sum()
    assert beside > 0.8  # a hidden pixel's neighbor is hidden far more often than one in four
    assert torch.equal(random_region(key[3:5], 32, 48, stream=1), hole[3:5])
    assert not torch.equal(random_region(key, 32, 48, stream=2), hole)


def test_the_border_surrounds_a_hole():
    hole = torch.zeros(1, 1, 7, 7, dtype=torch.bool)
    hole[0, 0, 3, 2] = True
    ring = border(hole, 2)
    assert ring[0, 0, 1:6, 0:5].sum() == ring.sum() == 24
    assert not (ring & hole).any()
    assert not border(hole, 0).any()
