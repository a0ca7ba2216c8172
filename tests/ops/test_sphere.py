import math

import torch

from mmcontrast.ops.sphere import effective_rank, feature_std, l2_normalize, similarities


def test_spread_is_one_on_the_whole_sphere_and_zero_at_a_point():
    torch.manual_seed(0)
    features = torch.randn(4000, 16)
    assert abs(feature_std(features) - 1) < 0.01
    assert feature_std(features[:1].expand(8, -1)) < 1e-6


def test_effective_rank_counts_directions():
    axes = torch.cat([torch.eye(5), -torch.eye(5)])  # 5 directions of equal weight
    assert math.isclose(effective_rank(axes @ torch.linalg.qr(torch.randn(5, 5)).Q), 5, rel_tol=1e-4)
    line = torch.arange(6.0)[:, None] * torch.tensor([[1.0, 2.0, 3.0]]) + 7
    assert math.isclose(effective_rank(line), 1, rel_tol=1e-4)
    assert effective_rank(torch.ones(4, 3)) == 1
    wide = torch.randn(4, 50)  # the same from the smaller of the two products
    share = torch.linalg.svdvals((wide - wide.mean(0)).double()) ** 2
    share = share / share.sum()
    assert math.isclose(effective_rank(wide), torch.special.entr(share).sum().exp(), rel_tol=1e-6)


def test_similarities_of_pairs_and_of_the_rest():
    a = torch.tensor([[2.0, 0.0], [0.0, 3.0]])
    b = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    positive, negative = similarities(a, b)
    assert math.isclose(positive, (1 + 0.5**0.5) / 2, rel_tol=1e-6)
    assert math.isclose(negative, 0.5**0.5 / 2, rel_tol=1e-6)


def test_unit_vectors_are_never_narrower_than_float32():
    assert l2_normalize(torch.ones(2, 3, dtype=torch.bfloat16)).dtype == torch.float32
    assert l2_normalize(torch.ones(2, 3, dtype=torch.float64)).dtype == torch.float64
