import math

import pytest
import torch

from mmcontrast.errors import InputError
from mmcontrast.ops.permutations import distant_permutations


def distances(found: torch.Tensor) -> torch.Tensor:
    """(K, N) permutations -> Hamming distances of all pairs of them."""
    unlike = (found[:, None] != found).sum(2)
    return unlike[torch.ones_like(unlike, dtype=torch.bool).triu(1)]


@pytest.mark.parametrize(
    ("count", "apart"), [(9, 8), (24, 8), (72, 8), (73, 7), (100, 7), (504, 7), (1000, 6), (1512, 6)]
)
def test_any_two_of_nine_pieces_sets_are_far_apart(count: int, apart: int):
    found = distant_permutations(9, count)
    assert found.shape == (count, 9)
    assert torch.equal(found.sort(1).values, torch.arange(9).expand(count, 9))
    assert distances(found).min() >= apart
    assert distances(found).float().mean() >= 8


def test_each_is_the_farthest_from_its_predecessors():
    found = distant_permutations(4, 12)
    every = torch.tensor(sorted(map(list, torch.cartesian_prod(*[torch.arange(4)] * 4).tolist())))
    every = every[every.sort(1).values.eq(torch.arange(4)).all(1)]
    for k in range(1, 12):
        unlike = (every[:, None] != found[:k]).sum(2)  # (24, k)
        best = max((row.min().item(), row.sum().item()) for row in unlike)
        mine = (found[k] != found[:k]).sum(1)
        assert (mine.min().item(), mine.sum().item()) == best


def test_sets_are_the_same_each_time_and_can_be_all_there_are():
    assert torch.equal(distant_permutations(9, 50), distant_permutations(9, 50))
    assert len(distant_permutations(4, 24).unique(dim=0)) == math.factorial(4)


@pytest.mark.parametrize(
    ("pieces", "count", "message"), [(10, 5, "pieces is 10"), (4, 25, "have 24 permutations"), (4, 0, "give 1")]
)
def test_what_there_is_not_is_refused(pieces: int, count: int, message: str):
    with pytest.raises(InputError, match=message):
        distant_permutations(pieces, count)
